'use strict';
// node install.js DIR METADATA-URL TARGETS-URL TARGET: refreshes and downloads one target with
// tuf-js, whose defaults are left as they are. DIR has root.json, and then all that was trusted.
const { Updater } = require('tuf-js');

const [dir, metadataBaseUrl, targetBaseUrl, name] = process.argv.slice(2);

async function install() {
  const updater = new Updater({ metadataDir: dir, metadataBaseUrl, targetDir: dir, targetBaseUrl });
  await updater.refresh();
  const target = await updater.getTargetInfo(name);
  if (!target) {
    throw new Error(`no target ${name}`);
  }
  await updater.downloadTarget(target);
}

install().catch((error) => {
  console.error(String(error));
  process.exitCode = 1;
});
