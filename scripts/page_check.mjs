// Opens the page of a report in Chromium, at the width of a desk and of a phone, light and dark, and fails on errors of
// the console, on what axe-core finds, and if the page is wider than its window. Keeps pictures in the folder that follows.
//
//   npm install axe-core puppeteer-core        (in any folder; NODE_PATH names its node_modules)
//   NODE_PATH=.../node_modules node scripts/page_check.mjs reports/examples/quickstart/index.html [PICTURES]

import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(process.env.NODE_PATH ?? ".", "here.js"));
const puppeteer = require("puppeteer-core");
const axe = require("axe-core").source;
const [page, pictures] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
let faults = 0;
const fault = (text) => { console.log(text); faults += 1; };

for (const [width, name] of [[1280, "desk"], [390, "phone"]]) {
  for (const scheme of ["light", "dark"]) {
    const tab = await browser.newPage();
    const where = `${name}, ${scheme}`;
    tab.on("console", (message) => message.type() === "error" && fault(`${where}: ${message.text()}`));
    tab.on("pageerror", (error) => fault(`${where}: ${error.message}`));
    await tab.setViewport({ width, height: 900 });
    await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await tab.goto(pathToFileURL(path.resolve(page)).href);
    const excess = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (excess > 0) fault(`${where}: ${excess} px wider than the window`);
    await tab.evaluate(axe);
    const { violations } = await tab.evaluate(() => axe.run());
    for (const { id, help, nodes } of violations) {
      fault(`${where}: ${id}: ${help}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
    }
    if (pictures) await tab.screenshot({ path: path.join(pictures, `${name}-${scheme}.png`), fullPage: true });
    await tab.close();
  }
}
await browser.close();
console.log(faults === 0 ? "no faults" : `${faults} faults`);
process.exitCode = faults === 0 ? 0 : 1;
