// Verification in the browser: what is dropped is judged by the code of the updater and the
// auditor, as WebAssembly. After the program is loaded there are no more requests.

import "./wasm_exec.js";

const $ = (id) => document.getElementById(id);
const zone = $("zone");
const policy = $("policy");
// This site's policy. What stands in the field may be what a browser has restored.
const stated = policy.defaultValue;
const repository = $("repository");

let tuflog; // what the program offers, once it runs
let files = []; // {name, blob}; the name has the folders, so that no two of a folder have one
let changed = null; // {file, at}: the byte that is flipped
let last = null; // the verdict
let parts = []; // of a bundle
let turn = 0; // counts what was asked, so that a late answer is not shown

// element makes an element with a text, which is never markup.
function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

const tones = { proved: "good", listed: "good", accepted: "good", unnamed: "wait", unwitnessed: "wait", unproved: "wait", refused: "bad", unable: "wait" };
const words = { proved: "proved", listed: "released", accepted: "accepted", unnamed: "by whom?", unwitnessed: "not witnessed", unproved: "unproved", refused: "refused", unable: "not judged" };

function badge(outcome) {
  return element("span", words[outcome], "badge " + tones[outcome]);
}

function facts(rows) {
  const list = element("dl", undefined, "facts");
  for (const [name, value] of rows) {
    if (value === undefined || value === "") continue;
    const row = element("div");
    const dd = element("dd");
    dd.append(value instanceof Node ? value : String(value));
    row.append(element("dt", name), dd);
    list.append(row);
  }
  return list;
}

function sentence(text) {
  return text[0].toUpperCase() + text.slice(1) + ".";
}

function whole(text) {
  return element("code", text, "whole");
}

function time(at) {
  return at.replace("T", " ").replace("Z", " UTC");
}

function witnesses(release) {
  const list = element("ul", undefined, "plain");
  for (const w of release.witnesses) {
    list.append(element("li", w.name + " (" + w.key + ")" + (w.time ? ", " + time(w.time) : "")));
  }
  return list;
}

function show(item) {
  const card = element("article", undefined, "item " + (item.aside ? "wait" : tones[item.outcome]));
  const head = element("h3");
  head.append(element("bdi", item.name), item.aside ? element("span", "does not count", "badge wait") : badge(item.outcome));
  if (item.code) head.append(element("code", item.code));
  card.append(head, element("p", sentence(item.text)));
  const rows = [];
  if (item.release) {
    const r = item.release;
    rows.push(
      ["Repository", whole(r.repository)], ["Role", element("bdi", r.role)], ["Version", r.version],
      ["Log", element("bdi", r.log)], ["Entry", r.index + " of " + r.size],
      ["Witnesses", r.witnesses.length ? witnesses(r) : "none"], ["Enough are", r.quorum],
      ["Cosigned", r.cosigned ? "at " + time(r.cosigned) + ", by half of them or more" : undefined],
    );
  }
  rows.push(["Signatures", item.signed]);
  if (item.digest) {
    rows.push(["Length", item.digest.length + " bytes"], ["SHA-256", whole(item.digest.sha256)], ["SHA-512", whole(item.digest.sha512)]);
  }
  card.append(facts(rows));
  for (const note of item.notes || []) card.append(element("p", note));
  if (item.digest && item.outcome !== "accepted" && item.outcome !== "listed") {
    const p = element("p");
    const a = element("a", "Ask this auditor which releases list it");
    a.href = "/search?q=" + item.digest.sha256;
    p.append(a, " (it is told the hash, and not the file).");
    card.append(p);
  }
  return card;
}

function render(verdict) {
  const box = element("div", undefined, "callout " + tones[verdict.outcome]);
  const p = element("p");
  p.append(badge(verdict.outcome));
  if (verdict.code) p.append(" ", element("code", verdict.code));
  box.append(p, element("p", verdict.text));
  if (verdict.code === "wrong-log" && $("logs")) box.append(element("p", "This site has policies of other logs, too: choose one under “Who is trusted”."));
  box.append(element("p", "Not proved by these files:"));
  const list = element("ul");
  for (const text of verdict.not_proved) list.append(element("li", text));
  box.append(list);
  if (verdict.policy) box.append(element("p", "By " + verdict.policy + ".", "policy"));
  box.append(element("p", (verdict.files === 1 ? "1 file was" : verdict.files + " files were") + " judged at " + time(new Date().toISOString().slice(0, 19) + "Z") + ", by this machine’s clock, in this browser.", "meta"));
  $("outcome").replaceChildren(box);
  const cards = (verdict.items || []).map(show);
  $("items").replaceChildren(...cards.splice(0, 4));
  if (cards.length > 0) {
    const rest = element("details");
    rest.append(element("summary", "All other files (" + cards.length + ")"), ...cards);
    $("items").append(rest);
  }
  $("verdict").dataset.outcome = verdict.outcome;
  $("verdict").dataset.code = verdict.code || "";
}

// flipped returns bytes with the changed one, if it is in this part of the file.
function flipped(file, bytes, from) {
  if (changed && changed.file === file && changed.at >= from && changed.at < from + bytes.length) {
    bytes = bytes.slice();
    bytes[changed.at - from] ^= 1;
  }
  return bytes;
}

// part returns bytes of a file.
async function part(file, from, to) {
  return flipped(file, new Uint8Array(await file.blob.slice(from, to).arrayBuffer()), from);
}

// hash returns the digest of bytes of a file, which it reads piece by piece.
async function hash(file, from, to, name) {
  const hasher = tuflog.hasher();
  for (let at = from; at < to; at += pieceSize) {
    hasher.write(await part(file, at, Math.min(at + pieceSize, to)));
    $("ready").textContent = name + ": " + Math.floor((100 * (at - from)) / (to - from)) + " % is hashed.";
  }
  return hasher.digest();
}

const maxFiles = 4096; // of which more are not looked at: drop.MaxFiles
const pieceSize = 4 << 20;
const maxTotal = 128 << 20; // bytes of files that are in memory at once

// inMemory are the files that are read whole, the short ones first: the others are hashed.
function inMemory() {
  let left = maxTotal;
  return new Set([...files].sort((a, b) => a.blob.size - b.blob.size).filter((f) => f.blob.size <= tuflog.maxContent && (left -= f.blob.size) >= 0));
}

// read returns the files as the program takes them.
async function read() {
  const kept = inMemory();
  const input = [];
  for (const file of files) {
    const size = file.blob.size;
    input.push(kept.has(file) ? { name: file.name, content: await part(file, 0, size) } : { name: file.name, digest: await hash(file, 0, size, file.name) });
  }
  return input;
}

// opened returns the parts of a bundle, or the verdict on it; null: it is none.
async function opened(file) {
  const beginning = await part(file, 0, 64);
  if (tuflog.bundle(file.name, beginning, file.blob.size) === null) return null;
  return JSON.parse(tuflog.bundle(file.name, await part(file, 0, tuflog.maxIndex), file.blob.size));
}

// readParts returns the files in a bundle. Of targets only the digest is needed.
async function readParts(file, parts) {
  const input = [];
  for (const p of parts) {
    input.push(p.target ? { name: p.name, digest: await hash(file, p.at, p.at + p.size, p.name) } : { name: p.name, content: await part(file, p.at, p.at + p.size) });
  }
  return input;
}

const ready = "Ready. From now on this works without the network, too.";

async function judge() {
  if (!tuflog || files.length === 0) return;
  const mine = ++turn;
  let verdict;
  try {
    // More are not read: the program says that they are too many.
    const bundle = files.length === 1 ? await opened(files[0]) : null;
    if (bundle && bundle.verdict) {
      if (mine !== turn) return;
      verdict = bundle.verdict;
    } else {
      const input = files.length > maxFiles ? files.map((f) => ({ name: f.name, content: new Uint8Array() })) : bundle ? await readParts(files[0], bundle.parts) : await read();
      if (mine !== turn) return;
      verdict = JSON.parse(tuflog.judge(policy.value, Date.now(), input, repository.value, policy.value !== stated, bundle !== null));
    }
    parts = bundle ? bundle.parts || [] : [];
  } catch (err) {
    verdict = { outcome: "unable", text: "This could not be judged: " + err.message + ".", not_proved: ["Anything: nothing was judged."], files: 0 };
  }
  last = verdict;
  $("ready").textContent = ready;
  $("verdict").hidden = false;
  render(verdict);
  $("tamper").hidden = changed !== null;
  $("restore").hidden = changed === null;
  $("tampered").hidden = changed === null;
}

// take judges the dropped files, all of them: of two files of one name in different folders
// both count.
async function take(found) {
  if (found.length === 0) {
    $("verdict").hidden = last === null;
    return;
  }
  files = found;
  changed = null;
  await judge();
  $("verdict-head").focus();
}

// target is the file of which a byte is changed, and the part of it: what the verdict is
// about, and of metadata what is signed.
async function target() {
  const items = (last && last.items) || [];
  const counts = (i) => !i.aside && (tones[i.outcome] === "good" || i.outcome === "unnamed" || i.outcome === "unwitnessed");
  const item = items.find((i) => i.what === "file" && counts(i)) || items.find((i) => i.what === "release" && counts(i)) || items[0];
  const file = files.find((f) => item && f.name === item.name) || files[0];
  if (item && item.what === "release" && file.blob.size <= tuflog.maxContent) {
    const text = new TextDecoder("latin1").decode(await file.blob.arrayBuffer());
    const signed = text.lastIndexOf('"signed"');
    const signatures = text.lastIndexOf('"signatures"');
    if (signed >= 0) return { file, from: signed + 9, to: signatures > signed ? signatures : text.lastIndexOf("}") };
  }
  // What a device certainly looks at is, in a bundle, its targets.
  const first = parts.find((p) => p.target && p.size > 0);
  return { file, from: first ? first.at : 0, to: file.blob.size };
}

async function tamper() {
  const { file, from, to } = await target();
  if (to <= from) return;
  const at = from + Math.floor(Math.random() * (to - from));
  const [byte] = new Uint8Array(await file.blob.slice(at, at + 1).arrayBuffer());
  changed = { file, at };
  const hex = (n) => "0x" + n.toString(16).padStart(2, "0");
  $("tampered").replaceChildren("One bit of byte " + at + " of ", element("bdi", file.name), " is changed, from " + hex(byte) + " to " + hex(byte ^ 1) + ", in this page’s copy. Your file is as it was.");
  await judge();
  $("restore").focus();
}

// named gives a chosen file the name that it has below the folder that was chosen.
function named(blob) {
  return { name: blob.webkitRelativePath || blob.name, blob };
}

// walk adds the files below what was dropped, which may be a folder, until there are too many.
async function walk(entries, found) {
  const left = [...entries];
  while (left.length > 0 && found.length <= maxFiles) {
    const entry = left.pop();
    if (entry.isFile) {
      found.push({ name: entry.fullPath.replace(/^\/+/, ""), blob: await new Promise((ok, no) => entry.file(ok, no)) });
      continue;
    }
    const reader = entry.createReader();
    for (let some; left.length <= 16 * maxFiles && (some = await new Promise((ok, no) => reader.readEntries(ok, no))).length > 0; ) left.push(...some);
  }
  return found;
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((i) => i.webkitGetAsEntry && i.webkitGetAsEntry()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map(named);
  return walk(entries, []);
}

function listen() {
  for (const type of ["dragenter", "dragover"]) {
    zone.addEventListener(type, (e) => {
      e.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  // A file that misses the zone must not take the place of the page.
  for (const type of ["dragover", "drop"]) window.addEventListener(type, (e) => e.preventDefault());
  zone.addEventListener("drop", async (e) => {
    zone.classList.remove("over");
    $("verdict").hidden = true; // it is not that of these files
    await take(await dropped(e.dataTransfer));
  });
  for (const id of ["files", "folder"]) {
    $(id).addEventListener("change", async (e) => {
      const chosen = [...e.target.files].map(named);
      $("verdict").hidden = true;
      await take(chosen);
      e.target.value = ""; // the same again is a change, too
    });
  }
  $("tamper").addEventListener("click", tamper);
  $("restore").addEventListener("click", async () => {
    changed = null;
    await judge();
    $("tamper").focus();
  });
  $("clear").addEventListener("click", () => {
    files = [];
    changed = last = null;
    turn++;
    $("verdict").hidden = true;
    $("files").focus();
  });
  policy.addEventListener("input", () => {
    $("reset").hidden = policy.value === stated;
    judge();
  });
  repository.addEventListener("input", judge);
  $("reset").addEventListener("click", () => {
    policy.value = stated;
    $("reset").hidden = true;
    policy.focus();
    judge();
  });
}

async function load() {
  $("drop").hidden = false;
  $("reset").hidden = policy.value === stated;
  listen();
  try {
    const go = new globalThis.Go();
    const { instance } = await WebAssembly.instantiateStreaming(fetch($("drop").dataset.program, { credentials: "omit" }), go.importObject);
    go.run(instance); // it ends with the page
    tuflog = globalThis.tuflog;
    $("ready").textContent = ready;
    $("drop").dataset.ready = "yes";
    await judge();
  } catch (err) {
    $("ready").textContent = "The program that verifies could not be loaded: " + err.message + ". The commands below do the same.";
  }
}

load();
