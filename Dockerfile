# Both bases are arguments, so that the image can be built from local roots too (docs/container.md).
# BUILD_BASE needs Bun, RUN_BASE nothing but glibc.
ARG BUILD_BASE=docker.io/oven/bun:1.4.5
ARG RUN_BASE=gcr.io/distroless/base-nossl-debian12:nonroot

FROM ${BUILD_BASE} AS build
WORKDIR /build
COPY package.json bun.lock bunfig.toml ./
RUN bun install --frozen-lockfile --production
COPY tsconfig.json ./
COPY src ./src
COPY actors ./actors
COPY db ./db
COPY web ./web
COPY tools ./tools
# There is no .git in here: the commit is told from outside.
ARG GLISSADE_COMMIT=
# The smoke test starts every kind of host from the executable; a build that cannot run never becomes an image.
RUN GLISSADE_COMMIT="${GLISSADE_COMMIT}" bun tools/build.ts && mkdir /data

FROM ${RUN_BASE}
COPY --from=build /build/dist/glissade /usr/local/bin/glissade
COPY --from=build --chown=65532:65532 /data /data
ENV SYNCV3_DATA=/data
ENV SYNCV3_BINDADDR=0.0.0.0:8008
# Everything that is written goes here: the root file system may be read-only.
VOLUME /data
EXPOSE 8008
USER 65532:65532
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/local/bin/glissade", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/glissade"]
