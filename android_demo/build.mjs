// Builds the page into page/: bundles the TypeScript, and puts the runtimes beside it.
// The same lock file always gives the same bytes.

import { build } from "esbuild";
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const output = join(here, "page");
const partial = `${output}.partial`;

// One binary for each way of running: threads are off where the page is not isolated.
const runtimes = {
  "onnxruntime-web/dist": [
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort-wasm-simd-threaded.jspi.mjs",
    "ort-wasm-simd-threaded.jspi.wasm",
  ],
  "@litertjs/core/wasm": [
    "litert_wasm_internal.js",
    "litert_wasm_internal.wasm",
    "litert_wasm_jspi_internal.js",
    "litert_wasm_jspi_internal.wasm",
  ],
};

const version = async (name) =>
  JSON.parse(await readFile(join(modules, name, "package.json"), "utf8")).version;

async function bundle(entries, format) {
  await build({
    entryPoints: entries.map((name) => join(here, "web/src", `${name}.ts`)),
    outdir: partial,
    bundle: true,
    minify: true,
    legalComments: "linked",
    format,
    target: "es2022",
    conditions: ["onnxruntime-web-use-extern-wasm"],
    define: {
      ORT_VERSION: JSON.stringify(await version("onnxruntime-web")),
      LITERT_VERSION: JSON.stringify(await version("@litertjs/core")),
    },
    logLevel: "warning",
  });
}

async function main() {
  await rm(partial, { recursive: true, force: true });
  await mkdir(join(partial, "runtime"), { recursive: true });
  await bundle(["main", "worker_ort_wasm", "worker_ort_webgpu"], "esm");
  await bundle(["worker_litert", "worker_reader"], "iife"); // its loader calls importScripts: a classic worker
  for (const name of await readdir(join(here, "web"))) {
    if (name !== "src") await cp(join(here, "web", name), join(partial, name));
  }
  for (const [folder, names] of Object.entries(runtimes)) {
    for (const name of names) await cp(join(modules, folder, name), join(partial, "runtime", name));
  }
  const licences = await readFile(join(here, "LICENCES.md"), "utf8");
  await writeFile(join(partial, "LICENCES.txt"), licences);
  await rm(output, { recursive: true, force: true });
  await rename(partial, output);
}

await main();
