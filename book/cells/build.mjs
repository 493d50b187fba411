// Bundles the live code cells into book/_static/vendor/cells, and beside them the licences of the
// packages that went in. `node book/cells/build.mjs`, after `npm ci`.

import { build } from "esbuild";
import { writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { notices } from "../notices.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const out = join(root, "book/_static/vendor/cells");

const { metafile } = await build({
  entryPoints: [join(here, "main.mjs")],
  outdir: out,
  bundle: true, minify: true, format: "esm", target: "es2022",
  // Notices come as a file of their own.
  legalComments: "none", metafile: true, absWorkingDir: root,
  // A package of Jupyter's reads its settings by eval when it is not in a browser.
  logLevel: "warning", logOverride: { "direct-eval": "silent" },
});

writeFileSync(join(out, "LICENSES.txt"), notices(root, metafile));
