export async function drawPlots(_report: unknown, _folder: string): Promise<void> {}
