/**
 * Runs all transcripts: our own, and those in the folder that RAFT_TESTDATA names (for instance the test data of etcd's Raft
 * library). A file passes on level 2, byte by byte; level 1 leaves out log lines and must never fail.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseTranscript } from './interaction/datadriven.ts';
import { describeDifference, runTranscript } from './interaction/run.ts';

function transcriptsBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.txt'))
    .sort();
}

function checkFolder(folder: string): void {
  for (const name of transcriptsBelow(folder)) {
    test(name, () => {
      const { level1, level2 } = runTranscript(readFileSync(join(folder, name), 'utf8'));
      assert.equal(level1 && describeDifference(level1), undefined, 'differs on level 1');
      assert.equal(level2 && describeDifference(level2), undefined, 'differs on level 2');
    });
  }
}

const ownFolder = join(import.meta.dirname, 'testdata');

describe('our own transcripts', () => checkFolder(ownFolder));

const foreignFolder = process.env['RAFT_TESTDATA'];
if (foreignFolder === undefined || !existsSync(foreignFolder)) {
  const reason = foreignFolder === undefined ? 'RAFT_TESTDATA is not set' : `${foreignFolder} does not exist`;
  test(
    'transcripts of RAFT_TESTDATA',
    { skip: `${reason}: set it to a folder with transcripts (*.txt)` },
    () => undefined,
  );
} else {
  describe(`transcripts of ${foreignFolder}`, () => checkFolder(foreignFolder));
}

describe('the transcript runner', () => {
  test('writes a file back unchanged when the output is the expected one', () => {
    for (const name of transcriptsBelow(ownFolder)) {
      const text = readFileSync(join(ownFolder, name), 'utf8');
      assert.equal(runTranscript(text).updated, text, name);
    }
  });

  test('parses lists, continued lines, bodies and fenced output', () => {
    const text =
      '# hello\n\nname 1 key=value list=(a, b,c) \\\n  more\nbody 1\nbody 2\n----\n----\none\n\ntwo\n----\n----\n\n# end\n';
    const { blocks, tail } = parseTranscript(text);
    assert.deepEqual(
      blocks.map(({ command, expected, lineNumber }) => ({ ...command, expected, lineNumber })),
      [
        {
          name: 'name',
          args: [
            { key: '1', values: [] },
            { key: 'key', values: ['value'] },
            { key: 'list', values: ['a', 'b', 'c'] },
            { key: 'more', values: [] },
          ],
          input: 'body 1\nbody 2',
          expected: 'one\n\ntwo\n',
          lineNumber: 3,
        },
      ],
    );
    assert.deepEqual(tail, ['', '# end']);
  });

  test('tells a difference in log lines from one in behaviour', () => {
    const logs = 'add-nodes 1 voters=(1) index=2\n----\nINFO something else\n';
    assert.equal(runTranscript(logs).level1, undefined);
    assert.notEqual(runTranscript(logs).level2, undefined);
    const behaviour = `${logs}\nraft-state\n----\n1: StateLeader (Voter) Term:0 Lead:1\n`;
    const { level1 } = runTranscript(behaviour);
    assert.ok(level1);
    assert.equal(
      describeDifference(level1),
      '@@ line 5: raft-state @@\n-1: StateLeader (Voter) Term:0 Lead:1\n+1: StateFollower (Voter) Term:0 Lead:0\n',
    );
  });

  test('a bug of the core shows in the output instead of ending the run', () => {
    const text = 'add-nodes 1 voters=(1) index=2\n----\n\ncompact 1 99\n----\nok\n\nraft-state\n----\n';
    assert.match(runTranscript(text).updated, /panic: compact 99 is out of bound/);
  });
});
