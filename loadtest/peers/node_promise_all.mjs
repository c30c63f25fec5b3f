// The AWS SDK for JavaScript v3 with Promise.all: the fan-out of most Node samples, here in windows.
import { Agent } from "node:http";
import {
  ApiGatewayManagementApiClient,
  PostToConnectionCommand,
} from "@aws-sdk/client-apigatewaymanagementapi";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const options = Object.fromEntries(
  process.argv
    .slice(2)
    .map((word, index, words) => [word, words[index + 1]])
    .filter(([word]) => word.startsWith("--")),
);
const posts = Number(options["--posts"] ?? 2000);
const window = Number(options["--window"] ?? 64);
const data = JSON.stringify({
  type: "messages",
  groupId: "group1",
  messages: [
    {
      messageId: "0192f0c1-2345-7abc-8def-0123456789ab",
      seq: 1,
      sender: "ann",
      message: "x".repeat(200),
      createdAt: "2026-11-22T17:20:00.123Z",
    },
  ],
});
const ids = Array.from({ length: posts }, (_, n) => `L0SM9c${String(n).padStart(8, "0")}w=`);
const client = new ApiGatewayManagementApiClient({
  endpoint: options["--endpoint"],
  region: "us-east-1",
  credentials: { accessKeyId: "bench", secretAccessKey: "bench" },
  requestHandler: new NodeHttpHandler({
    httpAgent: new Agent({ keepAlive: true, maxSockets: window }),
  }),
});

async function postAll(wanted) {
  let accepted = 0;
  const post = async (id) => {
    try {
      await client.send(new PostToConnectionCommand({ ConnectionId: id, Data: data }));
      accepted += 1;
    } catch {
      // Counted by its absence.
    }
  };
  for (let start = 0; start < wanted.length; start += window) {
    await Promise.all(wanted.slice(start, start + window).map(post));
  }
  return accepted;
}

await postAll(ids.slice(0, window));
const cpuStart = process.cpuUsage();
const wallStart = performance.now();
const accepted = await postAll(ids);
const { user, system } = process.cpuUsage(cpuStart);
console.log(
  JSON.stringify({
    posts,
    accepted,
    cpu_s: (user + system) / 1e6,
    wall_s: (performance.now() - wallStart) / 1e3,
  }),
);
