// Health check of a container: exit code 0 when the service's ops listener says that it is ready.
const port = process.argv[2];
const response = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2000) }).catch(
  (error) => {
    console.error(`no answer on port ${port}: ${error.message}`);
    process.exit(1);
  },
);
if (!response.ok) {
  console.error(`not ready: ${await response.text()}`);
  process.exit(1);
}
