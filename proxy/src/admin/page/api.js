// Calls of the admin API, with the token where one is asked for.

let token = sessionStorage.getItem("squall-token");

/** Remembers the token for as long as the tab is open. */
export function remember(text) {
  token = text;
  sessionStorage.setItem("squall-token", text);
}

/** A call that was not done: the proxy's words, and the status. */
export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

async function fetched(method, path, body, signal) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, {
    method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) {
    const words = await response.json().then((it) => it.error, () => response.statusText);
    throw new Refused(response.status, words);
  }
  return response;
}

/** Makes a call, and gives its answer. */
export async function call(method, path, body) {
  return (await fetched(method, path, body)).json();
}

/** Hears events until the connection ends; then it throws, or returns. */
export async function hear(path, heard) {
  const response = await fetched("GET", path);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const name = event.match(/^event: ?(.*)$/m)?.[1];
      const data = event.match(/^data: ?(.*)$/m)?.[1];
      if (name && data) heard(name, JSON.parse(data));
    }
  }
}
