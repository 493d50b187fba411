// First value of a weight against how far it has come since: one small panel per network.

import { sized } from "./ridges.mjs";
import { short } from "./sections.mjs";

const GAP = 14;

/** Clouds side by side in `figure`. */
export class Cloud {
  constructor(figure) {
    this.canvas = figure.appendChild(document.createElement("canvas"));
    this.canvas.setAttribute("role", "img");
    this.observer = new ResizeObserver(() => this.canvas.clientWidth !== this.width && this.#paint());
    this.observer.observe(this.canvas);
    this.names = [];
  }

  /** `first` and `delta` are flat [networks, points]. */
  draw({ first, delta, inks, names }) {
    const same = this.now?.delta === delta;
    this.now = { first, delta, inks, names };
    if (!same) this.#paint();
  }

  describe(sentence) { this.canvas.setAttribute("aria-label", sentence); }

  recolour() { this.#paint(); }

  destroy() { this.observer.disconnect(); }

  #paint() {
    const width = this.canvas.clientWidth;
    if (!width || !this.now) return;
    this.width = width;
    const { first, delta, inks, names } = this.now;
    const count = inks.length;
    const each = Math.min((width - GAP * (count - 1)) / count, 300);
    const height = Math.min(Math.max(each, 120), 230) + 34;
    if (this.canvas.style.height !== `${height}px`) this.canvas.style.height = `${height}px`;
    const ctx = sized(this.canvas, width, height);
    const style = getComputedStyle(this.canvas);
    ctx.font = `11px ${style.fontFamily}`;
    const points = first.length / count;
    for (let r = 0; r < count; r += 1) {
      const own = { first: first.slice(r * points, (r + 1) * points), delta: delta.slice(r * points, (r + 1) * points) };
      const left = r * (width + GAP) / count;
      this.#panel(ctx, own, { left, width: (width - GAP * (count - 1)) / count, height: height - 34, top: 16 }, inks[r].colour, names[r], style.color);
    }
  }

  #panel(ctx, { first, delta }, box, colour, name, ink) {
    // One unit on both axes, so that a weight that has doubled lies on the diagonal.
    const reach = (list) => list.reduce((a, v) => Math.max(a, Math.abs(v) || 0), 0) || 1;
    const across = reach(first);
    const up = Math.max(across, reach(delta));
    const x = (v) => box.left + box.width / 2 + (v / across) * (box.width / 2 - 6);
    const y = (v) => box.top + box.height / 2 - (v / up) * (box.height / 2 - 6);
    ctx.textAlign = "left";
    ctx.fillStyle = ink;
    ctx.fillText(name, box.left, 11);
    ctx.textAlign = "right";
    ctx.globalAlpha = 0.75;
    ctx.fillText(`± ${short(up)}`, box.left + box.width, 11);
    ctx.textAlign = "center";
    ctx.fillText(`first value, ± ${short(across)}`, box.left + box.width / 2, box.top + box.height + 14);
    ctx.globalAlpha = 1;
    ctx.strokeStyle = "#80808050";
    ctx.strokeRect(box.left + 0.5, box.top + 0.5, box.width - 1, box.height - 1);
    ctx.beginPath();
    ctx.moveTo(box.left, y(0));
    ctx.lineTo(box.left + box.width, y(0));
    ctx.moveTo(x(0), box.top);
    ctx.lineTo(x(0), box.top + box.height);
    ctx.stroke();
    ctx.fillStyle = `${colour}99`;
    for (let i = 0; i < first.length; i += 1) {
      if (Number.isFinite(delta[i])) ctx.fillRect(x(first[i]) - 1.2, y(delta[i]) - 1.2, 2.4, 2.4);
    }
  }
}
