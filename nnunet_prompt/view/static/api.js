// Requests to the server; every error is one line of text.

let tab = "";

async function send(path, method, body, headers = {}) {
  const all = { "X-Nnunet-Prompt": "1", ...(tab && { "X-Tab": tab }), ...headers };
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: all });
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  let line = `the server answered ${answer.status}`;
  try {
    line = (await answer.json()).error;
  } catch {
    // keeps the line above
  }
  throw new Error(line);
}

export async function getJson(path) {
  return (await send(path, "GET")).json();
}

export async function openCase(given) {
  const found = await (await send("/api/open", "POST", JSON.stringify(given))).json();
  tab = found.tab;
  return found;
}

export async function upload(file) {
  const path = `/api/upload?name=${encodeURIComponent(file.name)}`;
  return (await (await send(path, "POST", file)).json()).id;
}

export async function getImage(channel) {
  const answer = await send(`/api/image?channel=${channel}`, "GET");
  return new Uint16Array(await answer.arrayBuffer());
}

// The state and the mask after a change: {state, mask}
export async function change(what, given = {}) {
  return split(await send(`/api/${what}`, "POST", JSON.stringify(given)));
}

export async function readPrompts(file) {
  return split(await send(`/api/prompts?name=${encodeURIComponent(file.name)}`, "POST", file));
}

export async function save() {
  return (await send("/api/save", "POST")).json();
}

export async function download(what) {
  const answer = await send(`/api/${what}`, "GET");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = answer.headers.get("X-Name");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return link.download;
}

async function split(answer) {
  const buffer = await answer.arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const state = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { state, mask: new Uint8Array(buffer, 4 + length) };
}
