// Trains while it may, and keeps what is to be drawn. Knows a back end only as `ask(message)`.

import { Series, byLayer } from "./history.mjs";
import { SECTIONS, configuration } from "./sections.mjs";
import { inks } from "./colours.mjs";

const SLICE = 30; // ms of training per message: short enough for a change to be felt at once
const LOOK = 220; // ms between looks at the test samples and at the displacement
const POINTS = 500;
const EDGES = {
  tanh: [-1.05, 1.05], relu: [-0.1, 4], gelu: [-0.6, 4], linear: [-4, 4],
};
const BINS = 48;

const wants = (section, ...names) => names.some((n) => SECTIONS[section].plots.includes(n));

/** What one group of networks has shown so far. */
function emptyRun(section, settings, config) {
  const count = config.networks.length;
  const [low, high] = EDGES[config.activation] ?? EDGES.linear;
  return {
    settings: { ...settings }, networks: config.networks, inks: inks(section, config.networks), count,
    step: 0, mixes: 0, marks: [], speed: null, diverged: false,
    loss: new Series(count), fitted: new Series(count), accuracy: new Series(count),
    length: null, gradient: null, travelled: null, cloud: null, histogram: null, test: null,
    edges: Array.from({ length: BINS + 1 }, (_, i) => low + ((high - low) * i) / BINS),
  };
}

export class Trainer {
  /** `changed(event)` is called with "drawn anew", "stepped", "state" or "failed". */
  constructor(section, settings, ask, changed) {
    Object.assign(this, { section, settings, ask, changed });
    this.state = "loading";
    this.error = null;
    this.visible = false;
    this.run = this.previous = null;
    this.generation = 0;
    this.busy = Promise.resolve();
  }

  /** Draw the networks anew by the settings of now, and train if `go`. */
  restart(go) {
    const generation = ++this.generation;
    return this.#alone(async () => {
      if (generation !== this.generation) return;
      const config = configuration(this.section, this.settings);
      const run = { ...emptyRun(this.section, this.settings, config), generation };
      const begun = await this.ask({ command: "start", config });
      this.label = begun.label;
      run.length = byLayer(begun.act_rms, run.count);
      run.gradient = byLayer(begun.grad_rms, run.count);
      if (this.run && (this.run.step >= 10 || !this.previous)) this.previous = this.run;
      this.run = run;
      await this.#look(run);
      this.changed("drawn anew");
      this.#become(go ? "running" : "paused");
    });
  }

  /** What a group by the settings of now will be, before anything is known of it. */
  outline() {
    const run = emptyRun(this.section, this.settings, configuration(this.section, this.settings));
    const nothing = { x: [], y: run.networks.map(() => []) };
    return { ...run, length: nothing, gradient: nothing, travelled: nothing };
  }

  pause() { if (this.state === "running") this.#become("paused"); }

  resume() {
    if (this.state === "paused") this.#become("running");
    else if (this.state === "done" || this.state === "diverged") this.restart(true);
  }

  /** Train only while somebody can see it. */
  show(visible) {
    this.visible = visible;
    if (visible) this.#train();
  }

  /** Shrink & Perturb now. */
  shrinkPerturb() {
    this.asked = true; // by whatever comes first: the training that goes on, or this
    return this.#alone(() => this.#mixIfAsked(this.run));
  }

  #become(state) {
    this.state = state;
    this.changed("state");
    if (state === "running") this.#train();
  }

  /** One thing after the other; what goes wrong is shown, not thrown. */
  #alone(work) {
    this.busy = this.busy.then(work).catch((error) => {
      this.error = error;
      this.state = "failed";
      this.changed("failed");
    });
    return this.busy;
  }

  #train() {
    if (this.training || this.state !== "running") return;
    this.training = true;
    this.#alone(async () => {
      const run = this.run;
      let looked = performance.now();
      const generation = this.generation;
      while (this.visible && this.state === "running" && generation === this.generation) {
        await this.#slice(run);
        await this.#mixIfAsked(run);
        if (performance.now() - looked > LOOK) {
          await this.#look(run);
          looked = performance.now();
        }
        if (run.diverged || run.step >= SECTIONS[this.section].steps) {
          await this.#look(run);
          this.#become(run.diverged ? "diverged" : "done");
        }
        this.changed("stepped");
      }
    }).finally(() => {
      this.training = false;
      if (this.visible && this.state === "running") this.#train();
    });
  }

  async #slice(run) {
    const every = this.settings.every || Infinity;
    const most = SECTIONS[this.section].steps;
    const until = Math.min((Math.floor(run.step / every) + 1) * every, most);
    const began = performance.now();
    const count = Math.min(64, (Number.isFinite(until) ? until : most) - run.step);
    const got = await this.ask({ command: "steps", count, milliseconds: SLICE });
    for (let i = 0; i < got.done; i += 1) {
      const own = (flat) => Array.from(flat.slice(i * run.count, (i + 1) * run.count), (v) => v ?? NaN);
      run.loss.push(run.step + i + 1, own(got.loss));
      run.fitted.push(run.step + i + 1, own(got.accuracy));
      run.now = { loss: own(got.loss), fitted: own(got.accuracy) };
    }
    run.step += got.done;
    run.length = byLayer(got.act_rms, run.count);
    run.gradient = byLayer(got.grad_rms, run.count);
    run.diverged = !run.now.loss.some(Number.isFinite);
    const rate = (1000 * got.done) / (performance.now() - began);
    run.speed = run.speed ? 0.9 * run.speed + 0.1 * rate : rate;
    if (run.step % every === 0 && run.step < most) await this.#mix(run);
  }

  async #mixIfAsked(run) {
    if (!this.asked) return;
    this.asked = false;
    await this.#mix(run);
  }

  async #mix(run) {
    const { keep, mix } = this.settings;
    const networks = SECTIONS[this.section].mixed;
    run.mixes += 1;
    await this.ask({ command: "mix", keep, mix, seed: 1000 * run.mixes, networks });
    run.marks.push(run.step);
    await this.#look(run);
    this.changed("mixed");
  }

  async #look(run) {
    const seen = await this.ask({ command: "evaluate", edges: run.edges });
    run.test = { loss: Array.from(seen.loss), accuracy: Array.from(seen.accuracy) };
    run.accuracy.push(run.step, run.test.accuracy);
    run.histogram = seen.histogram;
    if (!wants(this.section, "cloud", "travelled")) return;
    const far = await this.ask({ command: "displacement", layer: 1, points: POINTS });
    const share = far.delta_rms.map((v, i) => (far.first_rms[i] ? v / far.first_rms[i] : NaN));
    run.travelled = byLayer(share, run.count);
    run.cloud = { first: far.first, delta: far.delta };
  }
}
