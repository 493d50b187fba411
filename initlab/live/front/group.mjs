// Networks of one shape side by side, and what can be asked of them (PROTOCOL.md). Every number
// comes out of an exported graph; here tensors are only passed on, cut and put together.

import { floats, integers, scalar, tensor, zeros } from "./graphs.mjs";

const TENSORS = 6;
/** Steps in one call at most. */
const MOST = 16;
/** Which axis of each parameter counts the networks. */
const AXIS = [0, 0, 1, 1, 0, 0];

const shapes = (inputs, { depth, width: n, networks: { length: R } }) =>
  [[R, n, inputs], [R, n], [depth - 1, R, n, n], [depth - 1, R, n], [R, 10, n], [R, 10]];

export class Group {
  constructor(graphs, data, config) {
    Object.assign(this, { graphs, data, config, step: 0, batches: new Map(), pace: 0 });
    this.perEpoch = Math.floor(data.train / config.batch);
    this.suffix = `${config.activation}${config.norm ? "_bn" : ""}`;
    this.shapes = shapes(data.inputs, config);
    this.like = this.shapes.map(zeros);
  }

  #each(field) { return this.config.networks.map((network) => network[field]); }

  /** Weights of every network by its own rule; `shift` is added to the seeds. */
  async #draw(shift = 0) {
    const seeds = integers(this.#each("seed").map((seed) => seed + shift));
    const scales = floats(this.#each("scale"), [this.config.networks.length]);
    const { gains } = this.graphs.manifest;
    const rules = this.#each("rule");
    let drawn = null;
    for (const rule of new Set(rules)) {
      const gain = scalar(gains[rule][this.config.activation]);
      const own = await this.graphs.call(`init_${rule}`, [...this.like, seeds, scales, gain]);
      drawn = drawn ? this.#choose(drawn, own, (r) => rules[r] === rule) : own;
    }
    return drawn;
  }

  /** `a`, but `b` for the networks that `isB` picks. */
  #choose(a, b, isB) { return a.map((tensor, k) => joined(tensor, b[k], AXIS[k], isB)); }

  #forgetState() {
    const buffers = this.config.optimizer === "sgd" ? 1 : 2;
    this.state = Array.from({ length: buffers }, () => this.shapes.map(zeros));
    this.t = zeros([this.config.networks.length]);
  }

  #batch(step) {
    const k = step % this.perEpoch;
    if (!this.batches.has(k)) {
      this.batches.set(k, this.data.batch(k * this.config.batch, this.config.batch, this.#each("noise")));
    }
    return this.batches.get(k);
  }

  /** The batches of `count` steps, one after the other: x [count, B, i] and y [count, R, B, 10]. */
  #batches(count) {
    const each = Array.from({ length: count }, (_, k) => this.#batch(this.step + k));
    return [0, 1].map((part) => stacked(each.map((batch) => batch[part])));
  }

  /** `count` steps by one call of the optimizer's graph: the state, and what is told of each step. */
  async #stepped(rates, count) {
    const { optimizer, momentum, beta1, beta2, eps, networks: { length: R } } = this.config;
    const each = (values) => floats(values, [R]);
    const [x, y] = this.#batches(count);
    const named = {
      x, y, t: this.t, lr: each(rates), weight_decay: each(this.#each("weight_decay")),
      momentum: each(new Array(R).fill(momentum)),
      beta1: scalar(beta1), beta2: scalar(beta2), eps: scalar(eps),
    };
    const out = await this.graphs.call(
      `${optimizer}_${this.suffix}`, [...this.params, ...this.state.flat()], named);
    const take = (count) => out.splice(0, count);
    const params = take(TENSORS);
    const state = this.state.map(() => take(TENSORS));
    const t = optimizer === "sgd" ? this.t : take(1)[0];
    const [loss, accuracy, act_rms, grad_rms] = out.map((tensor) => tensor.data);
    return { params, state, t, loss, accuracy, act_rms, grad_rms };
  }

  async start() {
    this.params = this.first = await this.#draw();
    this.#forgetState();
    const { networks, depth } = this.config;
    // A step at rate zero, whose result is thrown away: the gradient at the start.
    const { act_rms, grad_rms } = await this.#stepped(networks.map(() => 0), 1);
    const label = `PyTorch ${this.graphs.manifest.versions?.torch ?? ""}, exported and run in this page`;
    return { networks: networks.length, depth, steps_per_epoch: this.perEpoch, label, act_rms, grad_rms };
  }

  async steps({ count, milliseconds = Infinity }) {
    const began = performance.now();
    const loss = [];
    const accuracy = [];
    let done = 0;
    let last;
    let spent = 0;
    do {
      // As many in one call as there is time for, by what those before took.
      const time = this.pace ? Math.floor((milliseconds - spent) / this.pace) : 1;
      const next = Math.max(1, Math.min(count - done, MOST, time));
      last = await this.#stepped(this.#each("lr"), next);
      Object.assign(this, { params: last.params, state: last.state, t: last.t });
      loss.push(...last.loss);
      accuracy.push(...last.accuracy);
      done += next;
      this.step += next;
      this.pace = (performance.now() - began - spent) / next;
      spent = performance.now() - began;
    } while (done < count && spent < milliseconds);
    const { networks: { length: R }, depth } = this.config;
    const act_rms = last.act_rms.slice(-depth * R);
    const grad_rms = last.grad_rms.slice(-(depth + 1) * R);
    return { done, step: this.step, loss, accuracy, act_rms, grad_rms };
  }

  async evaluate({ edges, split = "test" }) {
    const { train, test } = this.data;
    const from = split === "train" ? 0 : train;
    const [x, y] = this.data.batch(from, split === "train" ? train : test, this.#each("noise"));
    const [loss, accuracy, histogram, act_rms] = await this.graphs.call(
      `evaluate_${this.suffix}`, this.params, { x, y, edges: floats(edges, [edges.length]) });
    return { loss: loss.data, accuracy: accuracy.data, histogram: histogram.data, act_rms: act_rms.data };
  }

  async mix({ keep, mix, seed, networks }) {
    const fresh = await this.#draw(seed);
    const mixed = await this.graphs.call("mix", [...this.params, ...fresh], { keep: scalar(keep), mix: scalar(mix) });
    const changed = networks ?? this.config.networks.map((_, r) => r);
    const isNew = (r) => changed.includes(r);
    this.params = this.#choose(this.params, mixed, isNew);
    // Their optimizer starts anew.
    this.state = this.state.map((buffer) => this.#choose(buffer, this.like, isNew));
    this.t = joined(this.t, zeros(this.t.dims), 0, isNew);
    return { step: this.step };
  }

  async displacement({ layer, points }) {
    const [delta_rms, first_rms, , delta] = await this.graphs.call(
      "displacement", [...this.params, ...this.first]);
    const { width: n, networks: { length: R } } = this.config;
    const size = n * n;
    const count = Math.min(points, size);
    const pick = (tensor) => Float32Array.from({ length: R * count }, (_, i) => {
      const r = Math.floor(i / count);
      return tensor.data[((layer - 1) * R + r) * size + Math.floor(((i % count) * size) / count)];
    });
    return { delta_rms: delta_rms.data, first_rms: first_rms.data, first: pick(this.first[2]), delta: pick(delta) };
  }
}

/** Tensors of one shape as one, along a new first axis. */
function stacked(tensors) {
  const [{ dims, data: { length } }] = tensors;
  const out = new Float32Array(tensors.length * length);
  tensors.forEach(({ data }, k) => out.set(data, k * length));
  return tensor(out, [tensors.length, ...dims]);
}

/** `a`, but `b` at those indices of `axis` that `isB` picks. */
function joined(a, b, axis, isB) {
  const out = Float32Array.from(a.data);
  const inner = a.dims.slice(axis + 1).reduce((x, y) => x * y, 1);
  for (let block = 0; block * inner < out.length; block += 1) {
    const own = b.data.subarray(block * inner, (block + 1) * inner);
    if (isB(block % a.dims[axis])) out.set(own, block * inner);
  }
  return floats(out, a.dims);
}
