// node screenshot.mjs URL TOKEN_FILE PATH TEXT FILE: logs in, opens PATH, waits for TEXT and writes FILE (PNG).
import { readFileSync, writeFileSync } from "node:fs";
import { Browser } from "./chromium.mjs";

const [url, tokenFile, path, text, file] = process.argv.slice(2);
const browser = await Browser.start();
try {
  const tab = await browser.tab(url);
  await tab.viewport(1280, 860);
  await tab.open(path);
  await tab.has("#token");
  await tab.click("#token");
  await tab.type(readFileSync(tokenFile, "utf8").trim());
  await tab.press("Enter");
  await tab.sees(text);
  writeFileSync(file, await tab.screenshot());
} finally {
  await browser.stop();
}
