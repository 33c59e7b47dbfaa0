import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readExamples } from '../src/examplelist.ts';

test('an example needs a file and a title', () => {
  const rows = [
    { file: 'a.ipynb', title: 'A', text: 'The first.' },
    { file: 'b.ipynb' },
    { title: 'C' },
    null,
    7,
    { file: 'd.ipynb', title: 'D' }
  ];
  assert.deepEqual(readExamples({ examples: rows }), [
    { file: 'a.ipynb', title: 'A', text: 'The first.' },
    { file: 'd.ipynb', title: 'D', text: '' }
  ]);
});

test('an answer without a list means no examples', () => {
  for (const content of [{}, { examples: null }, { examples: {} }, { message: 'Not Found' }]) {
    assert.deepEqual(readExamples(content), []);
  }
});
