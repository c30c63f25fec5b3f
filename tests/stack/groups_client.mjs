// Two clients in three groups: they talk, one is cut off and resumes, and leaves a group. Prints the frames of its
// second connection and everything that each client received, by group. Arguments: the gateway's URL, three groups.

import { ChatClient } from "../../src/groupcast_web/client/client.js";
import { LIMITS } from "../../src/groupcast_web/client/limits.js";

const [url, ...groupIds] = process.argv.slice(2);

/** A WebSocket that records its frames and can be cut. */
class Recorded extends WebSocket {
  static made = [];
  frames = [];

  constructor(...options) {
    super(...options);
    Recorded.made.push(this);
  }

  send(data) {
    this.frames.push(JSON.parse(data));
    super.send(data);
  }
}

function newClient(name, options) {
  const received = Object.fromEntries(groupIds.map((id) => [id, []]));
  const counts = { connected: 0, reconnecting: 0, sent: 0 };
  const client = new ChatClient({ url, name, ...options });
  const groups = groupIds.map((id) =>
    client.group(id, {
      on: {
        state: ({ phase }) => {
          counts[phase] += 1;
        },
        own: ({ status }) => {
          counts.sent += status === "sent" ? 1 : 0;
        },
        messages: (messages) => received[id].push(...messages.map(({ seq, message }) => [seq, message])),
      },
    }),
  );
  client.open();
  return { name, client, groups, received, counts };
}

async function until(isTrue) {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 20));
}

function say({ name, groups }, round) {
  for (const group of groups) group.send(`${name} ${round}`);
}

function hasAll({ received }, count) {
  return Object.values(received).every((messages) => messages.length >= count);
}

// Ann connects again only when she wakes.
const limits = { ...LIMITS, reconnectBaseMs: 600_000, reconnectMaxMs: 600_000 };
const ann = newClient("ann", { limits, random: () => 0.9, WebSocket: Recorded });
const bob = newClient("bob", {});
await until(() => ann.counts.connected === 3 && bob.counts.connected === 3);
for (const round of [1, 2]) for (const one of [ann, bob]) say(one, round);
await until(() => hasAll(ann, 4) && hasAll(bob, 4));

Recorded.made[0].close();
await until(() => ann.counts.reconnecting === 3);
say(bob, 3);
await until(() => bob.counts.sent === 9);
say(ann, 3);
ann.client.wake();
await until(() => hasAll(ann, 6) && hasAll(bob, 6));

ann.groups[2].leave();
await until(() => Recorded.made[1].frames.some(({ action }) => action === "leaveGroup"));
for (const group of bob.groups.toReversed()) group.send("bob 4");
await until(() => hasAll(bob, 7) && ann.received[groupIds[0]].length === 7);
const received = Object.fromEntries([ann, bob].map(({ name, received }) => [name, received]));
const lastSeqs = bob.groups.map(({ lastSeq }) => lastSeq);
for (const { client } of [ann, bob]) client.close();
console.log(
  JSON.stringify({ received, lastSeqs, connections: Recorded.made.length, frames: Recorded.made[1].frames }),
);
