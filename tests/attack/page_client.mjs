// The page's client on a real WebSocket. Joins a group, sends a message, and prints the outcome.
// Arguments: the gateway's URL, the group, the message as JSON, the largest frame in bytes, seconds to stay.

import { ChatClient } from "../../src/groupcast_web/client/client.js";
import { LIMITS } from "../../src/groupcast_web/client/limits.js";

const [url, group, message, frameBytes, stayS] = process.argv.slice(2);
const outcome = { thrown: null, own: [], reason: null };

const client = new ChatClient({
  url,
  group,
  name: "eve",
  limits: { ...LIMITS, frameBytes: Number(frameBytes) },
  on: {
    own: ({ status, reason }) => {
      outcome.own.push(status);
      outcome.reason ??= reason ?? null;
    },
    state: ({ phase }) => phase === "connected" && outcome.own.length === 0 && send(),
  },
});

function send() {
  try {
    client.send(JSON.parse(message));
  } catch (error) {
    outcome.thrown = { code: error.code, message: error.message };
  }
}

client.open();
setTimeout(() => {
  client.close();
  console.log(JSON.stringify(outcome));
  process.exit();
}, Number(stayS) * 1_000);
