// Histograms of the activations, a ridge per layer: the first layer below, the last on top.

const SIDE = 24;
const FOOT = 22;
const HEIGHT = 170;

/** One panel of ridges in `figure`. */
export class Ridges {
  constructor(figure, { tall = false } = {}) {
    this.height = tall ? 2 * HEIGHT + 62 : HEIGHT;
    this.canvas = figure.appendChild(document.createElement("canvas"));
    this.canvas.setAttribute("role", "img");
    this.canvas.style.height = `${this.height}px`;
    this.observer = new ResizeObserver(() => this.canvas.clientWidth !== this.width && this.#paint());
    this.observer.observe(this.canvas);
  }

  /** `histogram` is flat [layers, networks, bins]; the ridges are those of network `r`. */
  draw({ histogram, networks, edges, r = 0, colour }) {
    const same = this.now?.histogram === histogram && this.now.colour === colour;
    this.now = { histogram, networks, edges, r, colour };
    if (!same) this.#paint();
  }

  describe(sentence) { this.canvas.setAttribute("aria-label", sentence); }

  recolour() { this.#paint(); }

  destroy() { this.observer.disconnect(); }

  #paint() {
    const width = this.canvas.clientWidth;
    if (!width || !this.now) return;
    this.width = width;
    const { histogram, networks, edges, r, colour } = this.now;
    const bins = edges.length - 1;
    const layers = histogram.length / networks / bins;
    const ctx = sized(this.canvas, width, this.height);
    const style = getComputedStyle(this.canvas);
    ctx.font = `11px ${style.fontFamily}`;
    ctx.fillStyle = style.color;
    const left = SIDE;
    const inner = width - left - 8;
    const foot = this.height - FOOT;
    const gap = foot / (layers + 1.6);
    const rise = Math.min(gap * 2.4, 46);
    const at = (bin) => left + (inner * bin) / bins;
    this.#axis(ctx, edges, (v) => left + (inner * (v - edges[0])) / (edges.at(-1) - edges[0]), foot);
    const ground = style.getPropertyValue("--live-ground").trim() || "#fff";
    for (let layer = layers - 1; layer >= 0; layer -= 1) {
      const base = foot - gap * (layer + 0.35);
      const row = (layer * networks + r) * bins;
      const share = (bin) => Math.sqrt(Math.max(histogram[row + bin] || 0, 0));
      ctx.beginPath();
      ctx.moveTo(at(0), base);
      for (let bin = 0; bin < bins; bin += 1) ctx.lineTo(at(bin + 0.5), base - rise * share(bin));
      ctx.lineTo(at(bins), base);
      ctx.fillStyle = ground;
      ctx.fill();
      ctx.fillStyle = `${colour}40`;
      ctx.fill();
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1.2;
      ctx.stroke();
      if (layer === 0 || layer === layers - 1 || (layer + 1) % 10 === 0) {
        ctx.fillStyle = style.color;
        ctx.textAlign = "right";
        ctx.fillText(String(layer + 1), left - 6, base + 2);
      }
    }
  }

  #axis(ctx, edges, x, foot) {
    ctx.textAlign = "center";
    ctx.strokeStyle = "#80808038";
    for (const v of ticks(edges[0], edges.at(-1))) {
      ctx.beginPath();
      ctx.moveTo(x(v), 4);
      ctx.lineTo(x(v), foot);
      ctx.stroke();
      ctx.fillText(String(v).replace("-", "−"), x(v), foot + 15);
    }
  }
}

function ticks(low, high) {
  const step = high - low > 4 ? 2 : high - low > 2.5 ? 1 : 0.5;
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high; v += step) out.push(v + 0);
  return out;
}

/** The canvas's context at the screen's resolution, cleared. */
export function sized(canvas, width, height) {
  const ratio = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  return ctx;
}
