// Bundles the front end into book/_static/live and puts the runtime's wasm beside it, gzipped.
// `node initlab/live/front/build.mjs [folder]`, after `npm ci`.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { notices } from "../../../book/notices.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../../..");
const out = resolve(process.argv[2] ?? join(root, "book/_static/live"));
const source = (name) => join(here, name);

// uPlot asks the browser how numbers and times are written here as soon as it is loaded, which holds
// up the page for 25 to 50 ms. Our axes write numbers themselves and know no times.
const UNASKED = {
  "new Intl.NumberFormat(domEnv ? nav.language : 'en-US')": "{ format: String }",
  "new Intl.DateTimeFormat().resolvedOptions().timeZone;\n": '"UTC";\n',
};
const quick = {
  name: "quick uPlot",
  setup: ({ onLoad }) => onLoad({ filter: /uPlot\.esm\.js$/ }, ({ path }) => {
    let contents = readFileSync(path, "utf8");
    for (const [asked, instead] of Object.entries(UNASKED)) {
      const parts = contents.split(asked);
      if (parts.length !== 2) throw new Error(`${path} has ${parts.length - 1} times: ${asked}`);
      contents = parts.join(instead);
    }
    return { contents };
  }),
};

const common = {
  plugins: [quick],
  bundle: true, format: "esm", target: "es2022", minify: true, legalComments: "none",
  loader: { ".css": "text" }, logLevel: "warning", absWorkingDir: root,
};

const { metafile } = await build({
  ...common,
  metafile: true,
  entryPoints: { widget: source("widget.mjs"), worker: source("worker.mjs") },
  outdir: out,
});
writeFileSync(join(out, "LICENSES.txt"), notices(root, metafile));
// The entry knows what it loads, so that a browser never mixes two builds.
const hash = createHash("sha256");
for (const name of ["widget.js", "worker.js"]) hash.update(readFileSync(join(out, name)));
await build({
  ...common,
  entryPoints: { live: source("page.mjs") },
  outdir: out,
  define: { BUILD: JSON.stringify(hash.digest("hex").slice(0, 12)) },
});

mkdirSync(join(out, "ort"), { recursive: true });
const wasm = join(root, "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm");
const zipped = join(out, "ort/ort-wasm-simd-threaded.wasm.gz");
if (!existsSync(zipped) || statSync(zipped).mtimeMs < statSync(wasm).mtimeMs) {
  writeFileSync(zipped, gzipSync(readFileSync(wasm), { level: 9 }));
}
