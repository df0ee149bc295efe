'use strict';

const { describe, it, beforeEach } = require('node:test');
const assert = require('node:assert/strict');
const { shop, get } = require('./helpers');

describe('routing', () => {
  let app;
  beforeEach(() => {
    ({ app } = shop());
  });

  it('prefers literal segments over parameters', async () => {
    const answer = await get(app, '/items/new');
    assert.deepEqual(answer.json, { form: true });
  });

  it('prefers constrained parameters', async () => {
    assert.deepEqual((await get(app, '/items/42')).json, { id: '42' });
    assert.deepEqual((await get(app, '/items/blue-hat')).json, { slug: 'blue-hat' });
  });

  it('decodes parameters and wildcards', async () => {
    assert.deepEqual((await get(app, '/files/a/b%20c.txt')).json, { path: 'a/b c.txt' });
  });

  it('leaves optional segments out', async () => {
    assert.deepEqual((await get(app, '/report')).json, { year: 'all' });
    assert.deepEqual((await get(app, '/report/2024')).json, { year: '2024' });
  });

  it('answers HEAD like GET, without a body', async () => {
    const answer = await app.handle({ method: 'HEAD', url: '/items/7', headers: {} });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '');
  });

  it('lists what is allowed', async () => {
    const answer = await app.handle({ method: 'DELETE', url: '/items' });
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.allow, 'GET, HEAD, POST');
  });

  it('builds urls', () => {
    assert.equal(app.url('item', { id: 5 }, { tag: ['a', 'b'], page: { size: 3 } }), '/items/5?tag%5B%5D=a&tag%5B%5D=b&page%5Bsize%5D=3');
    assert.equal(app.url('report'), '/report');
    assert.equal(app.url('file', { path: 'x/y' }), '/files/x/y');
  });
});
