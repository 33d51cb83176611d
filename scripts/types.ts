/** The type check of everything: the projects in their order, then tests and scripts, which may use Node everywhere. */
import { runTool, type ToolResult } from './tools.ts';

export async function checkTypes(): Promise<ToolResult> {
  const projects = await runTool('tsc', ['-b']);
  if (projects.code !== 0) return projects;
  const tests = await runTool('tsc', ['-p', 'tsconfig.tests.json']);
  return { ...tests, tookMs: projects.tookMs + tests.tookMs };
}
