// The five sections: which controls, plots and stories are plain values that Python reads too.
// A section with several networks says here how a configuration becomes their list.

import PLAIN from "../sections.json" with { type: "json" };

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

/** What a plain value cannot say: which networks a section trains, and what each is called. */
const HOW = {
  start: {
    networks: (config) => [one(config)],
    name: (network, about) => about.rules[network.rule] + (network.scale === 1 ? "" : ` ${times(network)}`),
  },
  scale: { networks: scaled([-2, -1, 0, 1, 2]), name: times },
  travel: { networks: scaled([-1, 0, 1]), name: times },
  reinit: {
    networks: (config) => [one(config), one(config)],
    name: (network, about, index) => ["left alone", "Shrink & Perturb"][index],
  },
  memory: { networks: scaled([-2, -1, 0, 1, 2]), name: times },
};

const { base, ...plain } = PLAIN;

export const SECTIONS = Object.fromEntries(Object.entries(plain).map(([key, section]) =>
  [key, { ...section, ...HOW[key], initial: { ...base, ...section.initial } }]));

/** The messages' configuration (PROTOCOL.md) of a section's settings. */
export function configuration(section, settings) {
  const { data, depth, width, activation, norm, optimizer, momentum, batch } = settings;
  return {
    data, depth, width, activation, norm, optimizer, momentum, batch,
    beta1: 0.9, beta2: 0.999, eps: 1e-8,
    networks: SECTIONS[section].networks(settings),
  };
}
