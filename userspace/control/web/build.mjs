// Bundles the dashboard into dist/ (index.html, app.<hash>.js, app.<hash>.css, favicon.svg and a .gz beside each).
//   node build.mjs           fails where the page is larger than the budget
//   node build.mjs --tests   bundles test/*.test.ts into out-tests/ for `node --test`
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

// What a browser loads at the first visit, compressed.
const BUDGET = 60 * 1024;
const TARGET = "es2021";

async function tests() {
  rmSync("out-tests", { recursive: true, force: true });
  await build({
    entryPoints: readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`),
    outdir: "out-tests",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node18",
    logLevel: "warning",
  });
}

async function dashboard() {
  rmSync("dist", { recursive: true, force: true });
  mkdirSync("dist");
  const { metafile } = await build({
    entryPoints: { app: "src/main.tsx" },
    outdir: "dist",
    entryNames: "[name].[hash]",
    bundle: true,
    minify: true,
    format: "esm",
    target: TARGET,
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "eof",
    metafile: true,
    logLevel: "warning",
  });
  const outputs = Object.keys(metafile.outputs).map((path) => basename(path));
  const script = outputs.find((name) => name.endsWith(".js"));
  const style = outputs.find((name) => name.endsWith(".css"));
  const page = readFileSync("static/index.html", "utf8").replace("app.js", script).replace("app.css", style);
  writeFileSync("dist/index.html", page);
  writeFileSync("dist/favicon.svg", readFileSync("static/favicon.svg"));

  let total = 0;
  for (const name of readdirSync("dist").sort()) {
    const body = readFileSync(`dist/${name}`);
    const packed = gzipSync(body, { level: 9 });
    writeFileSync(`dist/${name}.gz`, packed);
    total += packed.length;
    console.log(`${name}: ${body.length} bytes, ${packed.length} gzip`);
  }
  console.log(`dashboard: ${total} bytes gzip of at most ${BUDGET}`);
  if (total > BUDGET) throw new Error(`the dashboard is ${total - BUDGET} bytes over its budget`);
}

await (process.argv.includes("--tests") ? tests() : dashboard());
