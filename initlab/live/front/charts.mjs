// Line charts (uPlot): curves against the step and against the layer, the previous run in fainter ink.

import uPlot from "uplot";
import { short } from "./sections.mjs";

const FAINT = "59"; // alpha of the previous run, in hexadecimal
const HEIGHT = 170;

/** One chart in `figure`. `log` scales y logarithmically, up to `most`; `layers` says that x counts layers. */
export class LineChart {
  constructor(figure, { log = false, layers = false, percent = false, most = Infinity }) {
    this.figure = figure;
    this.options = { log, layers, percent, most };
    this.key = "";
    this.plot = null;
    this.marks = [];
    this.box = figure.appendChild(document.createElement("div"));
    this.box.className = "chart";
    this.box.setAttribute("role", "img");
    this.observer = new ResizeObserver(() => this.#fit());
    this.observer.observe(this.box);
  }

  /** Draw `now` and `before`, both `{x, y: [networks][points], inks}`; `before` may be null. */
  draw(now, before) {
    const key = JSON.stringify([now.inks, before?.inks]);
    const tables = [before, now].filter(Boolean).map(({ x, y }) => [x, ...y.map((line) => this.#able(line))]);
    const data = tables.every(([x]) => x.length === 0)
      ? [[], ...tables.flatMap((t) => t.slice(1))]
      : uPlot.join(tables);
    if (this.plot && key === this.key) this.plot.setData(data);
    else this.#build(data, now, before, key);
  }

  /** Steps at which something was done to the networks, drawn as upright lines. */
  mark(steps) { this.marks = steps; }

  describe(sentence) { this.box.setAttribute("aria-label", sentence); }

  destroy() {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  /** Make anew with the colours that the page has now. */
  recolour() { this.key = ""; }

  #able(line) {
    const { log } = this.options;
    return line.map((v) => (Number.isFinite(v) && (!log || v > 0) ? v : null));
  }

  #fit() {
    const width = this.box.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  #build(data, now, before, key) {
    this.plot?.destroy();
    this.key = key;
    const style = getComputedStyle(this.box);
    const ink = style.color;
    const line = style.getPropertyValue("--live-grid").trim() || "#80808038";
    const font = `11px ${style.fontFamily}`;
    const { log, layers, percent, most } = this.options;
    const curve = ({ colour, dash }, faint) => ({
      stroke: faint ? colour + FAINT : colour,
      width: faint ? 1.3 : 1.9,
      dash,
      spanGaps: true,
      points: { show: layers && !faint, size: 4.5, fill: colour, stroke: colour, width: 0 },
    });
    const axis = { stroke: ink, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, gap: 4 };
    this.plot = new uPlot({
      width: Math.max(this.box.clientWidth, 120),
      height: HEIGHT,
      padding: [8, 16, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: (_, low, high) => (layers ? [0.7, Math.max(high, 2) + 0.3] : [0, Math.max(high, 20)]) },
        y: log ? { distr: 3, range: (_, low, high) => decades(low, Math.min(high, most)) }
          : { range: (_, low, high) => (percent ? [0, 1] : [0, high > 0 ? high * 1.05 : 1]) },
      },
      axes: [
        {
          ...axis, size: 24, space: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000],
          values: (_, ticks) => ticks.map(String),
        },
        {
          ...axis, size: 44, space: 26,
          values: (_, ticks) => ticks.map((v) => label(v, percent)),
          splits: log ? (_, __, low, high) => powers(low, high) : undefined,
        },
      ],
      series: [{}, ...(before?.inks ?? []).map((i) => curve(i, true)), ...now.inks.map((i) => curve(i, false))],
      hooks: { setCursor: [(u) => this.#read(u, before?.inks.length ?? 0)], drawAxes: [(u) => this.#upright(u)] },
    }, data, this.box);
  }

  /** What stands under the pointer, written beside the title. */
  #read(plot, skipped) {
    const out = this.figure.querySelector(".under");
    const { idx } = plot.cursor;
    if (idx == null) { out.textContent = ""; return; }
    const values = plot.data.slice(1 + skipped).map((line) => line[idx]);
    if (values.every((v) => v == null)) { out.textContent = ""; return; }
    const where = `${this.options.layers ? "layer" : "step"} ${Math.round(plot.data[0][idx])}`;
    out.textContent = `${where}: ${values.map((v) => (v == null ? "–" : label(v, this.options.percent, true))).join(" · ")}`;
  }

  #upright(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = getComputedStyle(this.box).color;
    ctx.globalAlpha = 0.35;
    ctx.setLineDash([3, 3]);
    for (const step of this.marks) {
      const x = plot.valToPos(step, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}

/** Whole powers of ten around [low, high], at least two decades. */
function decades(low, high) {
  if (!(low > 0) || !Number.isFinite(high)) return [0.01, 10];
  let from = Math.floor(Math.log10(low) + 1e-9);
  const to = Math.max(Math.ceil(Math.log10(high) - 1e-9), from + 1);
  if (to - from < 2) from = to - 2;
  return [10 ** from, 10 ** to];
}

/** The powers of ten from `low` to `high`, thinned to six. */
function powers(low, high) {
  const from = Math.round(Math.log10(low));
  const to = Math.round(Math.log10(high));
  const every = Math.max(1, Math.ceil((to - from) / 6));
  const out = [];
  for (let power = from; power <= to; power += every) out.push(10 ** power);
  return out;
}

function label(value, percent, fine = false) {
  if (value == null) return "";
  if (percent) return `${(100 * value).toFixed(fine ? 1 : 0)} %`;
  return short(value);
}
