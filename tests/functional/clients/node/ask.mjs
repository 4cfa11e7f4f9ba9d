// Asks models with the `openai` package, once for each line of JSON that comes in, and says in a line what came.
import { createInterface } from "node:readline";
import OpenAI, { AzureOpenAI, toFile } from "openai";

const messages = [{ role: "user", content: "Tell me a story. Schönes \u2028 \u{1f600}" }];
const few = { max_tokens: 8, seed: 7 };

const make = {
  OpenAI: ({ url, token, ...how }) => new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: token, ...how }),
  AzureOpenAI: ({ url, token, ...how }) =>
    new AzureOpenAI({ endpoint: url, azureADTokenProvider: async () => token, apiVersion: "2024-10-21", ...how }),
  "AzureOpenAI with a key": ({ url }) =>
    new AzureOpenAI({ endpoint: url, apiKey: "0123456789abcdef", apiVersion: "2024-10-21" }),
};

const acts = {
  async chat(client, { model, came }) {
    const whole = await client.chat.completions.create({ model, messages, ...few });
    Object.assign(came, { text: whole.choices[0].message.content, tokens: whole.usage.completion_tokens });
  },
  async stream(client, { model, usage, came }) {
    const more = usage ? { stream_options: { include_usage: true } } : {};
    came.pieces = [];
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, ...few, ...more })) {
      came.pieces.push(chunk.choices[0]?.delta.content ?? "");
      came.tokens = chunk.usage?.completion_tokens ?? null;
    }
  },
  async embeddings(client, { model, came }) {
    const told = await client.embeddings.create({ model, input: ["two", "texts"] });
    came.vectors = told.data.map((one) => one.embedding.every((number) => typeof number === "number"));
  },
  async responses(client, { model, came }) {
    const ask = { model, max_output_tokens: 8 };
    const first = await client.responses.create({ ...ask, input: "A story." });
    came.text = first.output_text;
    came.again = (await client.responses.retrieve(first.id)).output_text;
    came.types = [];
    const events = await client.responses.create({
      ...ask, input: "Go on.", previous_response_id: first.id, stream: true,
    });
    for await (const event of events) came.types.push(event.type);
    await client.responses.delete(first.id);
    await client.responses.retrieve(first.id);
  },
  async models(client, { came }) {
    came.models = [];
    for await (const model of client.models.list()) came.models.push(model.id);
  },
  async media(client, { model, came }) {
    const images = await client.images.generate({ model, prompt: "A gate." });
    came.image = Boolean(images.data[0].b64_json);
    const speech = await client.audio.speech.create({ model, input: "Hello.", voice: "alloy" });
    came.sound = Buffer.from(await speech.arrayBuffer()).toString("latin1", 0, 4);
    const file = await toFile(Buffer.from("RIFF, as far as anybody looks"), "question.wav");
    came.heard = (await client.audio.transcriptions.create({ model, file })).text;
  },
  async files(client) {
    await client.files.list();
  },
  async refused(client, { model }) {
    await client.chat.completions.create({ model, messages, data_sources: [] });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const came = {};
  const sent = [];
  const noting = (url, init) => {
    if (typeof init.body === "string") sent.push(init.body);
    return fetch(url, init);
  };
  try {
    const client = make[asked.kind]({ url: asked.url, token: asked.token, ...(asked.note ? { fetch: noting } : {}) });
    await acts[asked.act](client, { ...asked, came });
  } catch (error) {
    Object.assign(came, { error: error.constructor.name, status: error.status, code: error.code, message: error.message });
  }
  if (asked.note) came.sent = sent;
  console.log(JSON.stringify(came));
}
