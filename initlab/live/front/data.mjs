// Images and labels as batches. Only slicing, scaling by mean and std, and one-hot labels.

import { unzipped } from "./files.mjs";
import { floats } from "./graphs.mjs";

const CLASSES = 10;

export class Data {
  constructor(bytes, { inputs, train, test, mean, std }) {
    Object.assign(this, { inputs, train, test });
    const rows = train + test;
    this.x = Float32Array.from(bytes.subarray(0, rows * inputs), (v) => (v - mean) / std);
    let at = rows * inputs;
    this.labels = bytes.subarray(at, (at += rows));
    this.wrong = bytes.subarray(at, (at += train));
    this.rank = new Uint16Array(bytes.slice(at, at + 2 * train).buffer);
  }

  static async load(graphs, name) {
    const entry = graphs.manifest.data[name];
    if (!entry) throw new Error(`there is no data set ${name}`);
    return new Data(await unzipped(graphs.address(entry)), entry);
  }

  /** Samples `from` … `from + count` with each network's own labels: x [B, i], y [R, B, 10]. */
  batch(from, count, noise) {
    const x = floats(this.x.subarray(from * this.inputs, (from + count) * this.inputs), [count, this.inputs]);
    const y = new Float32Array(noise.length * count * CLASSES);
    noise.forEach((share, r) => {
      for (let i = 0; i < count; i += 1) {
        const sample = from + i;
        const isWrong = sample < this.train && this.rank[sample] < even(share * this.train);
        const label = isWrong ? this.wrong[sample] : this.labels[sample];
        y[(r * count + i) * CLASSES + label] = 1;
      }
    });
    return [x, floats(y, [noise.length, count, CLASSES])];
  }
}

/** To the nearest whole number, halves to the even one, as Python rounds. */
function even(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}
