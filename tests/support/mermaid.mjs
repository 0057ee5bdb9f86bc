// Parses drawings with mermaid itself, which wants a document around it; fails at the first it cannot read.
import { JSDOM } from 'jsdom';
import { readFileSync } from 'node:fs';

const dom = new JSDOM('<!DOCTYPE html><body></body>');
globalThis.window = dom.window;
globalThis.document = dom.window.document;
const mermaid = (await import('mermaid')).default;
for (const file of process.argv.slice(2)) {
  await mermaid.parse(readFileSync(file, 'utf8'));
}
