// The steps of tests/web/run in order, with what each has to leave behind: no console error, no failed request.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Browser } from "./chromium.mjs";
import { steps } from "./steps.mjs";

const { values: args } = parseArgs({
  options: Object.fromEntries(
    ["url", "token-file", "agent", "other", "unit-tests", "output", "restart", "many", "fill", "results"].map((name) => [name, { type: "string" }]),
  ),
});
const results = [];

function add(name, error) {
  results.push({ name: `web: ${name}`, result: error ? "failed" : "passed", reason: error ? error.message.split("\n")[0].slice(0, 500) : "" });
  console.log(error ? `FAILED ${name}\n    ${(error.stack ?? error.message).replaceAll("\n", "\n    ")}` : `ok     ${name}`);
}

// The pure parts, by Node's own test runner.
function unitTests(folder) {
  const built = spawnSync(process.execPath, ["build.mjs", "--tests"], { cwd: folder, encoding: "utf8" });
  if (built.status !== 0) {
    add("unit tests are built", new Error(built.stderr));
    return;
  }
  const files = readdirSync(join(folder, "out-tests")).map((name) => join("out-tests", name));
  const run = spawnSync(process.execPath, ["--test", "--test-reporter=tap", ...files], { cwd: folder, encoding: "utf8" });
  const verdicts = [...run.stdout.matchAll(/^ *(ok|not ok) \d+ - (.+)$/gm)].filter(([, , name]) => !name.endsWith(".mjs"));
  for (const [, verdict, name] of verdicts) add(name, verdict === "ok" ? undefined : new Error(run.stdout.slice(-3000)));
  if (verdicts.length === 0 || (run.status !== 0 && results.every((one) => one.result === "passed"))) {
    add("unit tests run", new Error(run.stdout.slice(-2000) + run.stderr));
  }
}

async function browserTests() {
  for (const name of readdirSync(args.output)) if (name.endsWith(".png")) rmSync(join(args.output, name));
  const browser = await Browser.start();
  try {
    const tab = await browser.tab(args.url);
    const test = {
      tab,
      agent: args.agent,
      other: args.other,
      restart: args.restart,
      many: args.many,
      fill: () => spawnSync("sh", ["-c", args.fill], { encoding: "utf8" }),
      token: readFileSync(args["token-file"], "utf8").trim(),
      shoot: async (name) => writeFileSync(join(args.output, `${name}.png`), await tab.screenshot()),
    };
    await tab.viewport(1280, 860);
    await tab.theme("light");
    for (const [name, step] of steps) {
      tab.problems = [];
      tab.expected = [];
      let error;
      try {
        await step(test);
        if (tab.problems.length > 0) error = new Error(`the browser complains: ${tab.problems.join(" | ")}`);
      } catch (caught) {
        error = caught;
        await test.shoot(`failed-${results.length}`).catch(() => {}); // the first error is the one to tell
      }
      add(name, error);
      if (browser.dead) break;
    }
  } finally {
    await browser.stop();
  }
}

unitTests(args["unit-tests"]);
try {
  await browserTests();
} catch (error) {
  add("chromium", error);
}
if (args.results) writeFileSync(args.results, JSON.stringify(results));
const failed = results.filter((one) => one.result === "failed").length;
console.log(`web: ${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
