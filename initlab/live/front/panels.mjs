// The plots of a section, and a sentence for each.

import { LineChart } from "./charts.mjs";
import { Ridges } from "./ridges.mjs";
import { Cloud } from "./cloud.mjs";
import { SECTIONS, short } from "./sections.mjs";

const PLOTS = {
  length: { title: "Length of the signal", sub: "root mean square of the activations, by layer", log: true, layers: true },
  gradient: { title: "Length of the gradient", sub: "root mean square by layer of weights", log: true, layers: true },
  travelled: { title: "Way from the start", sub: "displacement over first length, by layer of weights", log: true, layers: true },
  loss: { title: "Training loss", sub: "by step; guessing costs 2.3", log: true, most: 100 },
  accuracy: { title: "Test accuracy", sub: "by step", percent: true },
  fitted: { title: "Fit of the training labels", sub: "wrong ones included, by step", percent: true },
  histogram: { title: "Activations", sub: "a ridge per layer, the last on top", Chart: Ridges, className: "tall" },
  cloud: { title: "Every dot a weight", sub: "its first value across, its way since up", Chart: Cloud, className: "wide" },
};

const AT_ONCE = 2; // plots drawn in one frame

export class Panels {
  constructor(box, section) {
    this.box = box;
    this.section = section;
    this.outdated = new Set(); // in the order in which they became so
    this.plots = SECTIONS[section].plots.map((name) => {
      const { title, sub, Chart = LineChart, className = "", ...options } = PLOTS[name];
      const figure = box.appendChild(document.createElement("figure"));
      figure.className = className;
      const caption = figure.appendChild(document.createElement("figcaption"));
      caption.appendChild(document.createElement("b")).textContent = title;
      caption.append(` ${sub}`);
      caption.appendChild(document.createElement("span")).className = "under"; // the pointer: its values
      return { name, title, chart: new Chart(figure, { ...options, tall: className === "tall" }) };
    });
  }

  /** Write `text` where nobody sees it: to find the fonts for it takes a browser as long as a chart. */
  warm(text) {
    const ctx = document.createElement("canvas").getContext("2d");
    ctx.font = `11px ${getComputedStyle(this.box).fontFamily}`;
    ctx.fillText(text, 0, 11);
  }

  /** What the plots show has changed. */
  outdate() { for (const plot of this.plots) this.outdated.add(plot); }

  /** Draw some of the plots that are out of date: what fits in a frame. True if some are left. */
  draw(run, previous, about) {
    const names = run.networks.map((network, r) => SECTIONS[this.section].name(network, about, r));
    const most = this.plots.every(({ drawn }) => drawn) ? AT_ONCE : 1; // the first drawing is dear
    for (const plot of [...this.outdated].slice(0, most)) {
      this.outdated.delete(plot);
      plot.drawn = this.#draw(plot, run, previous, names) || plot.drawn;
    }
    return this.outdated.size > 0;
  }

  /** Draw one plot, if there is something to draw in it; whether there was. */
  #draw({ name, chart }, run, previous, names) {
    if (!run[name]) return false;
    if (name === "histogram") {
      chart.draw({ ...run, networks: run.count, colour: run.inks[0].colour });
    } else if (name === "cloud") {
      chart.draw({ ...run.cloud, inks: run.inks, names });
    } else {
      chart.mark(run.marks);
      chart.draw(curve(run, name), previous && previous[name] ? curve(previous, name) : null);
    }
    return true;
  }

  /** Say what each plot shows now. */
  describe(run) {
    for (const { name, title, chart } of this.plots) chart.describe(`${title}. ${told(run, name)}`);
  }

  recolour() { this.plots.forEach(({ chart }) => chart.recolour()); }

  destroy() { this.plots.forEach(({ chart }) => chart.destroy()); }
}

const curve = (run, name) => ({ x: run[name].x, y: run[name].y, inks: run.inks });

function told(run, name) {
  if (name === "histogram") return "Shares of the values that each layer gives out.";
  if (name === "cloud") return "First value of weights against their displacement, one panel per network.";
  const { x, y } = run[name] ?? { x: [], y: [] };
  if (!x.length) return "Nothing yet.";
  const percent = PLOTS[name].percent;
  const say = (v) => (Number.isFinite(v) ? (percent ? `${Math.round(100 * v)} %` : short(v)) : "not a number");
  return y.map((line) => `From ${say(line[0])} to ${say(line.at(-1))}`).join("; ");
}
