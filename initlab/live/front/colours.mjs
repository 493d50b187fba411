// The book's colours, those of initlab/plot.py; a test holds the two together.

export const COLOURS = {
  blue: "#2f81c7", orange: "#d0730f", green: "#259468", pink: "#cf4f86", purple: "#8f6bd1",
  brown: "#a4754a", teal: "#15959f", grey: "#858585", olive: "#87870f",
};

/** One colour per initializer, through the whole book. */
const RULES = {
  he_normal: "blue", he_uniform: "teal", he_truncated: "grey", glorot_normal: "grey",
  glorot_uniform: "green", glorot_truncated: "purple", lecun_normal: "brown",
  lecun_uniform: "brown", lecun_truncated: "brown", orthogonal: "grey", torch_default: "olive",
};

/** One colour and one dash per step of the ladder of scales, −2 … 2. */
const LADDER = [
  ["purple", [2, 3]], ["pink", [7, 3]], ["blue", []], ["green", [7, 3]], ["orange", [2, 3]],
];

/** Colour and dash of each network of a section. */
export function inks(section, networks) {
  if (section === "start") return networks.map((n) => ink(RULES[n.rule] ?? "olive"));
  if (section === "reinit") return [ink("grey", [7, 3]), ink("blue")];
  const first = (LADDER.length - networks.length) / 2;
  return networks.map((_, i) => ink(...LADDER[first + i]));
}

const ink = (name, dash = []) => ({ colour: COLOURS[name], dash });
