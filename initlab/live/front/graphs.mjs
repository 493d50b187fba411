// The exported functions: loaded when first called, called by name. No maths here.

import * as ort from "onnxruntime-web/wasm";
import { get, unzipped } from "./files.mjs";

/** A float32 tensor of that array. */
export const tensor = (array, dims) => new ort.Tensor("float32", array, dims);
/** A float32 tensor of a copy of those numbers. */
export const floats = (data, dims) => tensor(Float32Array.from(data), dims);
export const scalar = (value) => floats([value], []);
export const zeros = (dims) => floats(new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);
export const integers = (data) =>
  new ort.Tensor("int64", BigInt64Array.from(data, (v) => BigInt(v)), [data.length]);

export class Graphs {
  /** `base` is the folder with ort/ and graphs/. */
  constructor(base) {
    this.base = base;
    this.sessions = new Map();
  }

  /** Load the manifest, once. */
  describe() {
    this.described ??= get(new URL("graphs/manifest.json", this.base), { cache: "no-cache" })
      .then((response) => response.json())
      .then((manifest) => { this.manifest = manifest; })
      .catch((error) => { this.described = null; throw error; }); // it may be there at the next try
    return this.described;
  }

  /** Load the manifest and the runtime, both at once. The runtime starts with the first graph. */
  async open() {
    const described = this.describe();
    const wasm = unzipped(new URL("ort/ort-wasm-simd-threaded.wasm.gz", this.base));
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    await Promise.all([described, wasm]);
    ort.env.wasm.wasmBinary = (await wasm).buffer;
  }

  /** Address of a file that the manifest names; its hash keeps an old copy out of the way. */
  address(entry) {
    const address = new URL(`graphs/${entry.file}`, this.base);
    address.searchParams.set("v", entry.sha256.slice(0, 12));
    return address;
  }

  /** The session of a graph; several names may share one file. */
  #session(name) {
    const entry = this.manifest.graphs[name];
    if (!entry) throw new Error(`there is no graph ${name}`);
    if (!this.sessions.has(entry.file)) {
      const session = this.#load(name, entry);
      this.sessions.set(entry.file, session);
      session.catch(() => this.sessions.delete(entry.file)); // it may be there at the next try
    }
    return this.sessions.get(entry.file);
  }

  async #load(name, entry) {
    const bytes = await (await get(this.address(entry))).arrayBuffer();
    try {
      return await ort.InferenceSession.create(new Uint8Array(bytes), {
        executionProviders: ["wasm"], graphOptimizationLevel: "all",
      });
    } catch (error) {
      throw new Error(`the graph ${name} could not be started: ${error.message}`);
    }
  }

  /**
   * Call an exported function: what `named` has goes to the inputs of those names, `tensors` to the
   * others in their order. Resolves with the list of results.
   */
  async call(name, tensors, named = {}) {
    const session = await this.#session(name);
    const rest = tensors.values();
    const inputs = session.inputNames.map((key) => [key, named[key] ?? rest.next().value]);
    const results = await session.run(Object.fromEntries(inputs));
    return session.outputNames.map((key) => results[key]);
  }
}
