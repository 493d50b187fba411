// One section: controls, stories, plots, and the words for those who hear it.

import { Trainer } from "./trainer.mjs";
import { SECTIONS, short } from "./sections.mjs";
import { build, isLive } from "./controls.mjs";
import { settle } from "./share.mjs";
import { Panels } from "./panels.mjs";
import { networksTable } from "./table.mjs";
import css from "./lab.css";
import uplotCss from "uplot/dist/uPlot.min.css";

const SETTLE = 110; // ms after the last move of a slider before networks are drawn anew
const SPEAK = 6000; // ms between sentences for screen readers

const STATES = {
  loading: "loading", running: "training", paused: "paused", done: "done",
  diverged: "diverged: the loss is no longer a number", failed: "failed",
};

/**
 * Show `section` in `host`. `ask(message)` reaches the back end, `about` is the manifest's part on
 * rules, activations and optimizers, `share(section, settings)` copies what leads back here.
 * Calls `shown()` when it can be seen, still empty, resolves once a first network is drawn, and
 * rejects with the reason if that fails.
 */
export async function mount(host, { section, given, ask, about, share, shareLabel, shown, go = true }) {
  const { title, controls, stories, mixed } = SECTIONS[section];
  const settings = settle(section, given, about);
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(uplotCss + css);
  root.adoptedStyleSheets = [sheet];
  host.classList.add("waiting");

  const make = (tag, parent, attributes = {}) => parent.appendChild(Object.assign(document.createElement(tag), attributes));
  const lab = document.createElement("section");
  lab.className = "lab";
  lab.setAttribute("aria-label", `Live: ${title}`);
  const head = make("div", lab, { className: "head" });
  make("strong", head, { textContent: title });
  const state = make("span", head, { className: "state" });
  const shelf = make("div", lab, { className: "stories" });
  shelf.setAttribute("role", "group");
  shelf.setAttribute("aria-label", "Stories");
  const form = make("form", lab, { className: "controls" });
  form.addEventListener("submit", (event) => event.preventDefault());
  const actions = make("div", lab, { className: "actions" });
  const table = networksTable(make("div", lab, { className: "networks" }));
  const panels = new Panels(make("div", lab, { className: "plots" }), section);
  const foot = make("p", lab, { className: "foot" });
  const voice = make("p", lab, { className: "voice" });
  voice.setAttribute("role", "status");

  let frame = 0;
  let laid = false;
  let told = false;
  let spoke = 0;
  let failed = false;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const trainer = new Trainer(section, settings, ask, (event) => {
    if (event === "failed") return fail();
    if (event !== "stepped" || !calm.matches || performance.now() - spoke > 1000) draw();
    if (event === "state" || event === "drawn anew") say();
    else speak();
  });

  // --- what can be done
  const button = (text, className, work) => {
    const b = make("button", actions, { type: "button", textContent: text, className });
    b.addEventListener("click", work);
    return b;
  };
  const run = button("Pause", "main", () => (trainer.state === "running" ? trainer.pause() : trainer.resume()));
  button("Re-initialize", "", () => { settings.seed += 1; trainer.restart(true); });
  if (mixed) button("Shrink & Perturb", "", () => trainer.shrinkPerturb());
  const copy = button(shareLabel, "quiet", async () => {
    const done = await share(section, settings);
    copy.textContent = done ? "Copied" : shareLabel;
    voice.textContent = done ? "Copied to the clipboard." : "It could not be copied; it is in the address bar.";
    setTimeout(() => { copy.textContent = shareLabel; }, 2000);
  });

  let timer = 0;
  const show = build(form, controls, about, (name, value) => {
    settings[name] = value;
    press();
    if (isLive(name)) return;
    clearTimeout(timer);
    timer = setTimeout(() => trainer.restart(true), SETTLE);
  });
  const buttons = stories.map(({ label, set }) => {
    const b = make("button", shelf, { type: "button", textContent: label });
    b.addEventListener("click", () => {
      Object.assign(settings, set);
      show(settings);
      press();
      trainer.restart(true);
    });
    return b;
  });
  const press = () => stories.forEach(({ set }, i) => {
    const same = Object.entries(set).every(([name, value]) => settings[name] === value);
    buttons[i].setAttribute("aria-pressed", String(same));
  });
  show(settings);
  press();

  // --- what is seen
  function draw() {
    panels.outdate();
    inFrame();
  }

  function inFrame() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      if (!trainer.run || !laid || !lab.isConnected) return;
      table.draw(section, trainer.run, trainer.previous, about);
      words();
      // The first charts come after everything else is seen, and training after them.
      const left = !told || panels.draw(trainer.run, trainer.previous, about);
      told = true;
      if (left) inFrame();
      else seen.observe(host);
    });
  }

  function words() {
    const { run: now, state: name } = trainer;
    state.textContent = STATES[name] + (name === "running" && !trainer.visible ? " when seen" : "");
    state.dataset.state = name;
    run.textContent = name === "running" ? "Pause" : name === "paused" ? "Run" : "Run again";
    const speed = now.speed && name === "running" ? `, ${short(now.speed)} steps a second` : "";
    if (failed && name !== "failed") {
      failed = false;
      foot.className = "foot";
      host.dispatchEvent(new CustomEvent("liveback"));
    }
    if (failed) return;
    foot.textContent = `step ${now.step}${speed}${apart(section, now)} · ${trainer.label ?? ""}`;
  }

  function say() {
    words();
    spoke = performance.now();
    voice.textContent = sentence(trainer, about, section);
    panels.describe(trainer.run);
  }

  function speak() {
    if (performance.now() - spoke > SPEAK) say();
  }

  function fail() {
    state.textContent = STATES.failed;
    state.dataset.state = "failed";
    voice.textContent = "";
    foot.textContent = reason(trainer.error);
    foot.className = "foot failed";
    failed = true;
    rejected?.(trainer.error);
    host.dispatchEvent(new CustomEvent("livefailed", { detail: reason(trainer.error) }));
  }

  // --- when it is seen
  const seen = new IntersectionObserver((all) => trainer.show(all.at(-1).isIntersecting && !document.hidden));
  const turned = () => trainer.show(!document.hidden);
  const themed = new MutationObserver(recolour);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function recolour() {
    panels.recolour();
    draw();
  }

  // All of it is laid out where nobody sees it yet, empty charts too, and shown before a back end
  // needs the processor; part by part, a frame each: to do it at once would hold up the page.
  const parts = [...lab.childNodes];
  const labels = [...form.childNodes];
  lab.replaceChildren();
  form.replaceChildren();
  root.append(lab);
  for (const [place, part] of [...parts.map((part) => [lab, part]), ...labels.map((label) => [form, label])]) {
    place.append(part);
    await nextFrame();
  }
  for (const text of ["0123456789 %", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"]) {
    panels.warm(text);
    await nextFrame();
  }
  panels.outdate();
  while (panels.draw(trainer.outline(), null, about)) await nextFrame();
  state.textContent = STATES.loading;
  host.classList.remove("waiting");
  shown?.();
  await nextFrame();
  laid = true;
  let rejected;
  const first = new Promise((_, no) => { rejected = no; });
  await Promise.race([trainer.restart(go && !calm.matches), first]);
  rejected = null;
  if (trainer.state === "failed") throw trainer.error;
  draw();
  document.addEventListener("visibilitychange", turned);
  dark.addEventListener("change", recolour);
  themed.observe(document.documentElement, { attributeFilter: ["data-theme", "class"] });
  themed.observe(document.body, { attributeFilter: ["data-jp-theme-light", "class"] });

  return {
    trainer, settings,
    destroy() {
      trainer.pause();
      for (const observer of [seen, themed, panels]) (observer.disconnect ?? observer.destroy).call(observer);
      document.removeEventListener("visibilitychange", turned);
      dark.removeEventListener("change", recolour);
    },
  };
}

/** The next frame, or a little later where nobody looks and none is drawn. */
const nextFrame = () => new Promise((done) => {
  const late = setTimeout(done, 100);
  requestAnimationFrame(() => { clearTimeout(late); done(); });
});

/** The distance between the best and the worst network, where a section is about that. */
function apart(section, { test }) {
  const of = SECTIONS[section].spreadOf;
  if (!of || !test) return "";
  const values = test[of].filter(Number.isFinite);
  return ` · best and worst test accuracy ${(100 * (Math.max(...values) - Math.min(...values))).toFixed(1)} points apart`;
}

/** What is going on, for those who do not see it. */
function sentence({ run, state }, about, section) {
  const { name } = SECTIONS[section];
  const each = run.networks.map((network, r) => {
    const loss = run.now ? `training loss ${short(run.now.loss[r]) || "not a number"}, ` : "";
    return `${name(network, about, r)}: ${loss}test accuracy ${Math.round(100 * (run.test?.accuracy[r] ?? 0))} percent`;
  });
  return `${STATES[state]}, step ${run.step}. ${each.join("; ")}.`;
}

export const reason = (error) => String(error?.message ?? error);
