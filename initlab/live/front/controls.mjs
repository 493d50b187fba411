// Sliders and selects. Every slider runs over a list of values, so that what it says is what is used.

import { short } from "./sections.mjs";

const RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1];
const SHARES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];
const percent = (value) => `${Math.round(100 * value)} %`;

/** Name of a setting → its label, and either `values` of a slider or `options` of a select. */
const CONTROLS = {
  depth: { label: "hidden layers", values: [3, 5, 8, 10, 15, 20, 30, 50] },
  width: { label: "width", values: [16, 32, 64, 100, 128] },
  scale: { label: "scale of the weights", values: [0.25, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 2, 4], show: (v) => `× ${short(v)}` },
  spread: { label: "step between scales", values: [1.1, 1.2, 1.4, 2, 3, 4], show: (v) => `× ${short(v)}` },
  lr: { label: "learning rate", values: RATES },
  weight_decay: { label: "weight decay", values: [0, 0.0001, 0.001, 0.003, 0.01, 0.03] },
  noise: { label: "wrong labels", values: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], show: percent },
  keep: { label: "keep of the old", values: SHARES, show: percent, live: true },
  mix: { label: "mix in of a fresh draw", values: SHARES, show: percent, live: true },
  every: {
    label: "when to mix", live: true, number: true,
    options: () => ({ 0: "when I press the button", 100: "every 100 steps", 300: "every 300 steps", 600: "every 600 steps" }),
  },
  rule: { label: "initialization", options: (about) => about.rules },
  activation: { label: "activation", options: (about) => named(about.activations, { relu: "ReLU", gelu: "GELU" }) },
  optimizer: { label: "optimizer", options: (about) => named(about.optimizers, { sgd: "SGD", adam: "Adam", adamw: "AdamW" }) },
  norm: { label: "batch normalization", boolean: true, options: () => ({ true: "on", false: "off" }) },
};

const named = (names, labels) => Object.fromEntries(names.map((n) => [n, labels[n] ?? n]));

/** Whether a change of this setting needs no new start. */
export const isLive = (name) => CONTROLS[name].live ?? false;

/** The nearest value that the slider of `name` has; of a select the value itself if it is there. */
export function fitting(name, value, about) {
  const control = CONTROLS[name];
  if (!control) return value;
  if (control.values) {
    const number = Number(value);
    if (!Number.isFinite(number)) return undefined;
    return control.values.reduce((a, b) => (Math.abs(b - number) < Math.abs(a - number) ? b : a));
  }
  if (!Object.hasOwn(control.options(about), String(value))) return undefined;
  if (control.boolean) return String(value) === "true";
  return control.number ? Number(value) : value;
}

/**
 * Build the controls of `names` into `form`; `changed(name, value)` is called on every move.
 * Returns `show(settings)`, which puts values into them.
 */
export function build(form, names, about, changed) {
  const setters = names.map((name) =>
    (CONTROLS[name].values ? slider : select)(form, name, about, changed));
  return (settings) => setters.forEach((set, i) => set(settings[names[i]]));
}

function labelled(form, text, input) {
  const label = document.createElement("label");
  const caption = document.createElement("span");
  caption.textContent = text;
  label.append(caption, input);
  form.append(label);
  return caption;
}

function slider(form, name, about, changed) {
  const { label, values, show = short } = CONTROLS[name];
  const input = document.createElement("input");
  Object.assign(input, { type: "range", min: 0, max: values.length - 1, step: 1, name });
  const caption = labelled(form, label, input);
  // Not an <output>: that would be read out beside the slider's own value.
  const output = document.createElement("b");
  caption.append(output);
  const say = () => {
    const value = values[input.valueAsNumber];
    output.textContent = show(value);
    input.setAttribute("aria-valuetext", show(value));
    input.setAttribute("aria-label", label);
    input.style.setProperty("--part", `${(100 * input.valueAsNumber) / (values.length - 1)}%`);
    return value;
  };
  input.addEventListener("input", () => changed(name, say()));
  return (value) => {
    input.valueAsNumber = values.indexOf(fitting(name, value, about));
    say();
  };
}

function select(form, name, about, changed) {
  const { label, options } = CONTROLS[name];
  const input = document.createElement("select");
  input.name = name;
  for (const [value, text] of Object.entries(options(about))) input.append(new Option(text, value));
  labelled(form, label, input);
  input.addEventListener("change", () => changed(name, fitting(name, input.value, about)));
  return (value) => { input.value = String(value); };
}
