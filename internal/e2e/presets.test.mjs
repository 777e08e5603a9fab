// The official clients for Node.js against presets with a stand-in behind them: node --test presets.test.mjs, with the addresses in
// the environment (see preset_test.go, which starts them and then compares what was sent with what arrived).
import assert from 'node:assert/strict';
import test from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Ollama } from 'ollama';
import OpenAI from 'openai';

const url = (name) => {
  const v = process.env[`${name.toUpperCase()}_URL`];
  if (!v) throw new Error(`the address of ${name} is not set`);
  return v;
};

const weather = {
  name: 'get_weather',
  description: 'Tells the weather.',
  parameters: { type: 'object', properties: { city: { type: 'string', enum: ['Oslo', 'Bergen'] } }, required: ['city'], additionalProperties: false },
};
const onePixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const question = [{ role: 'user', content: 'Why is the sky blue?' }];

for (const name of ['openai', 'vllm', 'llamacpp', 'tgi']) {
  test(`openai through ${name}`, async () => {
    const c = new OpenAI({ baseURL: `${url(name)}/v1`, apiKey: 'none', maxRetries: 0 });
    const whole = await c.chat.completions.create({ model: 'm', messages: question });
    assert.equal(whole.choices[0].message.content, 'Blue');

    let text = '';
    for await (const chunk of await c.chat.completions.create({ model: 'm', messages: question, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta.content ?? '';
    }
    assert.equal(text, 'Blue');

    const tools = [{ type: 'function', function: { ...weather, strict: true } }];
    const called = await c.chat.completions.create({ model: 'm', messages: question, tools, tool_choice: 'auto' });
    const message = called.choices[0].message;
    assert.equal(message.tool_calls[0].function.name, 'get_weather');
    const after = await c.chat.completions.create({
      model: 'm', tools, messages: [...question, message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'rain' }],
    });
    assert.equal(after.choices[0].message.content, 'Blue');
    if (name === 'tgi') return;

    const vectors = await c.embeddings.create({ model: 'm', input: ['a', 'b'] });
    assert.deepEqual(Array.from(vectors.data[0].embedding), [0.5, -1]);
    const reply = await c.responses.create({ model: 'm', input: 'Why?', instructions: 'be brief', tools: [{ type: 'function', strict: true, ...weather }] });
    assert.equal(reply.output_text, 'Blue');
    text = '';
    for await (const event of await c.responses.create({ model: 'm', stream: true, input: [{ role: 'user', content: [{ type: 'input_text', text: 'Why?' }, { type: 'input_image', detail: 'auto', image_url: `data:image/png;base64,${onePixel}` }] }] })) {
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    assert.equal(text, 'Blue');
    assert.equal((await c.models.list()).data.length, 1);
    if (name === 'openai') assert.equal((await c.moderations.create({ model: 'omni-moderation-latest', input: 'hi' })).results.length, 1);
  });
}

test('anthropic', async () => {
  const c = new Anthropic({ baseURL: url('anthropic'), apiKey: 'none', maxRetries: 0 });
  const ask = { model: 'm', max_tokens: 1024, messages: question };
  assert.equal((await c.messages.create(ask)).content[0].text, 'Blue');
  assert.equal(await c.messages.stream({ ...ask, system: 'be brief' }).finalText(), 'Blue');
  const tools = [{ name: weather.name, description: weather.description, input_schema: weather.parameters }];
  const called = await c.messages.create({ ...ask, tools });
  assert.equal(called.stop_reason, 'tool_use');
  const messages = [...question, { role: 'assistant', content: called.content }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: called.content[0].id, content: [{ type: 'text', text: 'rain' }] }] }];
  assert.equal((await c.messages.create({ ...ask, messages, tools })).content[0].text, 'Blue');
  assert.equal((await c.messages.countTokens({ model: 'm', messages, tools })).input_tokens, 5);
});

test('ollama', async () => {
  const c = new Ollama({ host: url('ollama') });
  assert.equal((await c.generate({ model: 'm', prompt: 'Why is the sky blue?' })).response, 'Blue');
  assert.equal((await c.generate({ model: 'm', prompt: 'x', images: [onePixel], format: 'json', options: { temperature: 0, num_ctx: 8192 }, keep_alive: '5m' })).response, 'Blue');
  let text = '';
  for await (const part of await c.generate({ model: 'm', prompt: 'x', stream: true })) text += part.response;
  assert.equal(text, 'Blue');
  assert.equal((await c.chat({ model: 'm', messages: question })).message.content, 'Blue');
  text = '';
  for await (const part of await c.chat({ model: 'm', messages: question, stream: true, think: false })) text += part.message.content;
  assert.equal(text, 'Blue');
  await c.chat({
    model: 'm',
    messages: [...question, { role: 'assistant', content: '', tool_calls: [{ function: { name: 'get_weather', arguments: { city: 'Oslo' } } }] }, { role: 'tool', content: 'rain', tool_name: 'get_weather' }],
    tools: [{ type: 'function', function: weather }],
  });
  assert.deepEqual((await c.embed({ model: 'm', input: ['a', 'b'] })).embeddings, [[0.5, -1]]);
  assert.deepEqual((await c.embeddings({ model: 'm', prompt: 'a' })).embedding, [0.5, -1]);
  assert.equal((await c.list()).models.length, 1);
  assert.equal((await c.ps()).models.length, 0);
  assert.ok((await c.show({ model: 'm' })).capabilities);
  assert.equal((await c.version()).version, '0.17.4');
});

test('a refusal is a sentence for every client', async () => {
  const ollama = new Ollama({ host: url('refusing') });
  await assert.rejects(ollama.generate({ model: 'm', prompt: 'x', options: { num_ctx: 1e9 } }), { name: 'ResponseError', error: 'The number is too large.', status_code: 422 });
  await assert.rejects(ollama.pull({ model: 'evil.example/x' }), { error: 'There is nothing at this path.', status_code: 404 });
  const openai = new OpenAI({ baseURL: `${url('refusing')}/v1`, apiKey: 'none', maxRetries: 0 });
  await assert.rejects(openai.chat.completions.create({ model: 'm', messages: question, n: 1e6 }), { status: 422, code: 'schema_violation', param: '/n' });
  const anthropic = new Anthropic({ baseURL: url('refusing'), apiKey: 'none', maxRetries: 0 });
  await assert.rejects(anthropic.messages.create({ model: 'm', max_tokens: 9, top_k: 1e9, messages: question }), (err) => err instanceof Anthropic.UnprocessableEntityError && err.error.error.message === 'The number is too large.');
});

test('mcp', async () => {
  const c = new Client({ name: 'client', version: '1.0.0' });
  const transport = new StreamableHTTPClientTransport(new URL(`${url('mcp')}/mcp`));
  await c.connect(transport);
  assert.equal((await c.listTools()).tools.length, 1);
  const result = await c.callTool({ name: 'get_weather', arguments: { city: 'Oslo' } });
  assert.deepEqual(result.content, [{ type: 'text', text: 'rain in Oslo' }]);
  assert.equal((await c.readResource({ uri: 'file:///readme' })).contents[0].text, 'read me');
  await c.getPrompt({ name: 'greet' });
  await c.ping();
  await transport.terminateSession();
  await c.close();
});
