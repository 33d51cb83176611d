# One image for all three services; the command says which: node services/<controller|broker|gateway>/src/main.ts
# The workspace layout is kept as it is, because Node strips no types below node_modules.
FROM node:24-bookworm-slim AS build
WORKDIR /app
RUN npm install --global --silent pnpm@12.21.0
COPY package.json pnpm-workspace.yaml pnpm-lock.yaml ./
COPY gen/package.json gen/
COPY packages/client/package.json packages/client/
COPY packages/log/package.json packages/log/
COPY packages/metadata/package.json packages/metadata/
COPY packages/raft/package.json packages/raft/
COPY packages/record/package.json packages/record/
COPY packages/shared/package.json packages/shared/
COPY services/broker/package.json services/broker/
COPY services/controller/package.json services/controller/
COPY services/gateway/package.json services/gateway/
COPY apps/cli/package.json apps/cli/
# The workspace lists these too; their folders are not needed in the image.
COPY packages/testkit/package.json packages/testkit/
COPY apps/demo/package.json apps/demo/
COPY bench/package.json bench/
COPY test/package.json test/
RUN pnpm install --prod --frozen-lockfile \
      --filter @fleetmq/controller... --filter @fleetmq/broker... --filter @fleetmq/gateway... --filter @fleetmq/cli...
COPY gen gen
COPY packages packages
COPY services services
COPY apps apps

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app /app
COPY deploy/healthcheck.mjs /app/deploy/healthcheck.mjs
# The `node` user of the image has uid 1000; named volumes inherit the owner of the folder that they are mounted on.
RUN mkdir /data && chown 1000:1000 /data && chmod 700 /data
USER 1000:1000
VOLUME /data
STOPSIGNAL SIGTERM
CMD ["node", "apps/cli/src/main.ts", "--help"]
