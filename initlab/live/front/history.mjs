// What a run has shown so far, thinned so that a long run costs no more to draw than a short one.

const MOST = 240;

/** Series of R networks against the step; neighbours are averaged once there are too many. */
export class Series {
  constructor(networks) {
    this.networks = networks;
    this.stride = 1;
    this.x = [];
    this.y = Array.from({ length: networks }, () => []);
    this.waiting = null;
  }

  /** Add the values of one step, an array of R. */
  push(step, values) {
    const sum = (this.waiting ??= { x: 0, n: 0, y: new Array(this.networks).fill(0) });
    sum.n += 1;
    sum.x += step;
    values.forEach((v, r) => { sum.y[r] += v ?? NaN; });
    if (sum.n < this.stride) return;
    this.x.push(sum.x / sum.n);
    sum.y.forEach((total, r) => this.y[r].push(total / sum.n));
    this.waiting = null;
    if (this.x.length >= MOST) this.#halve();
  }

  #halve() {
    const pairs = (list) =>
      list.slice(0, list.length & ~1).reduce((out, v, i) => {
        if (i & 1) out[out.length - 1] = (out[out.length - 1] + v) / 2;
        else out.push(v);
        return out;
      }, []);
    this.x = pairs(this.x);
    this.y = this.y.map(pairs);
    this.stride *= 2;
  }

  /** The last value of each network. */
  get last() { return this.y.map((list) => list.at(-1)); }
}

/** Row r of a flat array of shape [rows, networks], for each network: how layers come in. */
export function byLayer(flat, networks) {
  const rows = flat.length / networks;
  const y = Array.from({ length: networks }, (_, r) =>
    Array.from({ length: rows }, (_, l) => flat[l * networks + r] ?? NaN));
  return { x: Array.from({ length: rows }, (_, l) => l + 1), y };
}
