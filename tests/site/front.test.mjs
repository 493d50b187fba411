// The parts of the live front end that need no page: `node --test tests/site/front.test.mjs`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Series, byLayer } from "../../initlab/live/front/history.mjs";
import { SECTIONS, configuration, short } from "../../initlab/live/front/sections.mjs";
import { fitting } from "../../initlab/live/front/controls.mjs";
import { call, settle, shared } from "../../initlab/live/front/share.mjs";
import { hash, read } from "../../initlab/live/front/address.mjs";
import { remote } from "../../initlab/live/front/remote.mjs";

const about = {
  rules: { he_normal: "He normal", lecun_normal: "LeCun normal", glorot_normal: "Glorot normal", glorot_uniform: "Glorot uniform", orthogonal: "Orthogonal" },
  activations: ["relu", "tanh", "gelu", "linear"],
  optimizers: ["sgd", "adam", "adamw"],
};

test("a long series keeps its shape in few points", () => {
  const series = new Series(2);
  for (let step = 1; step <= 5000; step += 1) series.push(step, [step, -step]);
  assert.ok(series.x.length <= 240);
  series.x.forEach((x, i) => assert.deepEqual([series.y[0][i], series.y[1][i]], [x, -x]));
  assert.ok(series.x.every((x, i) => i === 0 || x > series.x[i - 1]));
  assert.ok(series.x.at(-1) > 4900);
});

test("a loss that is no longer a number stays a gap", () => {
  const series = new Series(1);
  series.push(1, [null]);
  series.push(2, [3]);
  assert.ok(Number.isNaN(series.y[0][0]));
  assert.equal(series.last[0], 3);
});

test("layers come in network by network", () => {
  assert.deepEqual(byLayer([1, 10, 2, 20, 3, 30], 2), { x: [1, 2, 3], y: [[1, 2, 3], [10, 20, 30]] });
});

test("an address and a call lead back to the same settings", () => {
  for (const section of Object.keys(SECTIONS)) {
    const settings = settle(section, { depth: 20, lr: "0.1", seed: 7 }, about);
    const asked = read(hash(section, settings, shared(section)));
    assert.equal(asked.section, section);
    assert.deepEqual(settle(section, asked.settings, about), { ...settle(section, {}, about), ...Object.fromEntries(shared(section).map((n) => [n, settings[n]])) });
    assert.ok(call(section, settings).startsWith(`Live("${section}", `));
  }
  assert.equal(read("#some-heading"), null);
});

test("what an address asks for is brought to what the controls have", () => {
  const settings = settle("start", { depth: "1e9", rule: "constructor", width: "x", scale: 1.3, evil: 1 }, about);
  assert.equal(settings.depth, 50);
  assert.equal(settings.rule, "he_normal");
  assert.equal(settings.width, 64);
  assert.equal(settings.scale, 1.4);
  assert.ok(!("evil" in settings));
});

test("every first setting and every story is one that the controls can show", () => {
  for (const [section, { initial, stories, controls }] of Object.entries(SECTIONS)) {
    for (const set of [initial, ...stories.map((s) => s.set)]) {
      for (const [name, value] of Object.entries(set)) {
        if (controls.includes(name)) assert.equal(fitting(name, value, about), value, `${section}: ${name}`);
        else assert.ok(set === initial, `${section}: a story sets ${name}, which no control shows`);
      }
    }
  }
});

test("the ladder of scales has 1 in its middle", () => {
  const scales = configuration("memory", settle("memory", {}, about)).networks.map((n) => n.scale);
  assert.deepEqual(scales, [0.25, 0.5, 1, 2, 4]);
});

test("numbers are short", () => {
  assert.deepEqual([0, 1, 0.123, 1e-4, 2.34e-12, 1e6].map(short), ["0", "1", "0.12", "10⁻⁴", "2·10⁻¹²", "10⁶"]);
});

test("answers go to those who asked, and a hang-up reaches all", async () => {
  const sent = [];
  const line = remote((message) => sent.push(message));
  const [a, b, c] = ["a", "b", "c"].map((command) => line.ask({ command }));
  line.hear({ id: sent[1].id, result: "B" });
  line.hear({ id: sent[0].id, error: "no" });
  assert.equal(await b, "B");
  await assert.rejects(a, /no/);
  line.hangUp(new Error("gone"));
  await assert.rejects(c, /gone/);
});
