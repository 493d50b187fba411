// The five sections as plain values: which controls, which networks, which plots, which stories.
// A section with several networks says how a configuration becomes their list.

const BASE = {
  data: "digits", rule: "he_normal", activation: "relu", depth: 10, width: 64, scale: 1, lr: 0.03,
  optimizer: "sgd", momentum: 0, weight_decay: 0, norm: false, noise: 0, batch: 64, seed: 1,
};

/** Factors on the standard deviation that stand side by side: `spread`^k for k = −2 … 2. */
const ladder = (config, powers) => powers.map((k) => config.scale * config.spread ** k);

const one = (config) => ({
  rule: config.rule, scale: config.scale, seed: config.seed,
  lr: config.lr, weight_decay: config.weight_decay, noise: config.noise,
});

const scaled = (powers) => (config) =>
  ladder(config, powers).map((scale) => ({ ...one(config), scale }));

const times = (network) => `× ${short(network.scale)}`;

/** A number in two or three digits. */
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 0.001 && size < 10000) return String(Number(value.toPrecision(2)));
  const [digits, power] = value.toExponential(0).split("e");
  return `${digits === "1" ? "" : `${digits}·`}10${[...String(Number(power))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`;
}

export const SECTIONS = {
  start: {
    title: "One signal, layer by layer",
    controls: ["rule", "activation", "scale", "depth", "width", "lr"],
    plots: ["length", "histogram", "gradient", "loss", "accuracy"],
    initial: { ...BASE, depth: 30, lr: 0.01 },
    networks: (config) => [one(config)],
    name: (network, about) => about.rules[network.rule] + (network.scale === 1 ? "" : ` ${times(network)}`),
    steps: 600,
    stories: [
      { label: "Watch it vanish", set: { rule: "lecun_normal", activation: "relu", scale: 1, depth: 30 } },
      { label: "Watch it explode", set: { rule: "he_normal", activation: "relu", scale: 1.4, depth: 30 } },
      { label: "Now with He", set: { rule: "he_normal", activation: "relu", scale: 1, depth: 30 } },
      { label: "Tanh forgives", set: { rule: "lecun_normal", activation: "tanh", scale: 1.4, depth: 30 } },
    ],
  },
  scale: {
    title: "Five scales, one race",
    controls: ["depth", "activation", "rule", "spread", "width", "lr"],
    plots: ["loss", "accuracy", "length", "gradient"],
    initial: { ...BASE, depth: 8, width: 32, spread: 1.4, lr: 0.05 },
    networks: scaled([-2, -1, 0, 1, 2]),
    name: times,
    steps: 600,
    stories: [
      { label: "Shallow: any scale will do", set: { depth: 3, activation: "relu", rule: "he_normal", spread: 1.4 } },
      { label: "Deep: hardly one", set: { depth: 30, activation: "relu", rule: "he_normal", spread: 1.4 } },
      { label: "Deep, with tanh", set: { depth: 30, activation: "tanh", rule: "glorot_normal", spread: 1.4 } },
      { label: "Deep, orthogonal", set: { depth: 30, activation: "relu", rule: "orthogonal", spread: 1.1 } },
    ],
  },
  travel: {
    title: "How far the weights travel",
    controls: ["width", "lr", "spread", "activation", "depth", "optimizer"],
    plots: ["cloud", "loss", "accuracy", "travelled", "gradient"],
    initial: { ...BASE, rule: "glorot_uniform", depth: 3, width: 64, spread: 3, lr: 0.1 },
    networks: scaled([-1, 0, 1]),
    name: times,
    steps: 1500,
    stories: [
      { label: "Wide: each moves less", set: { width: 128, lr: 0.1, optimizer: "sgd" } },
      { label: "Narrow: all must move", set: { width: 16, lr: 0.1, optimizer: "sgd" } },
      { label: "Adam moves them all alike", set: { width: 64, lr: 0.001, optimizer: "adam" } },
    ],
  },
  reinit: {
    title: "Begin again, partly",
    controls: ["noise", "keep", "mix", "every", "width", "lr"],
    plots: ["accuracy", "fitted", "loss", "travelled"],
    initial: {
      ...BASE, data: "fashion", depth: 3, width: 100, lr: 0.05, momentum: 0.9, noise: 0.4,
      keep: 0.4, mix: 0.1, every: 0,
    },
    networks: (config) => [one(config), one(config)],
    name: (network, about, index) => ["left alone", "Shrink & Perturb"][index],
    mixed: [1],
    steps: 2000,
    stories: [
      { label: "Wrong labels, again and again", set: { noise: 0.4, keep: 0.4, mix: 0.1, every: 300 } },
      { label: "Right labels", set: { noise: 0, keep: 0.4, mix: 0.1, every: 300 } },
      { label: "Shrink only", set: { noise: 0.4, keep: 0.4, mix: 0, every: 300 } },
      { label: "Start over each time", set: { noise: 0.4, keep: 0, mix: 1, every: 300 } },
    ],
  },
  memory: {
    title: "Who remembers the scale?",
    controls: ["optimizer", "lr", "weight_decay", "norm", "spread", "depth"],
    plots: ["accuracy", "loss", "travelled", "length"],
    initial: { ...BASE, data: "fashion", depth: 3, width: 64, spread: 2, lr: 0.01, norm: true },
    networks: scaled([-2, -1, 0, 1, 2]),
    name: times,
    spreadOf: "accuracy",
    steps: 2000,
    stories: [
      { label: "SGD remembers", set: { optimizer: "sgd", lr: 0.01, weight_decay: 0 } },
      { label: "Weight decay forgets", set: { optimizer: "sgd", lr: 0.1, weight_decay: 0.01 } },
      { label: "Adam forgets", set: { optimizer: "adam", lr: 0.001, weight_decay: 0 } },
    ],
  },
};

/** The messages' configuration (PROTOCOL.md) of a section's settings. */
export function configuration(section, settings) {
  const { data, depth, width, activation, norm, optimizer, momentum, batch } = settings;
  return {
    data, depth, width, activation, norm, optimizer, momentum, batch,
    beta1: 0.9, beta2: 0.999, eps: 1e-8,
    networks: SECTIONS[section].networks(settings),
  };
}
