# SPDX-License-Identifier: Apache-2.0
# tutti's image: the program, the libraries it needs and nothing else; no root, nothing written.
#   docker build -t tutti . && docker run --rm tutti version
FROM debian:12 AS build
WORKDIR /src
COPY . .
RUN scripts/bootstrap build && cmake --preset release && cmake --build --preset release \
    && install -D -m 0755 build/release/tutti /out/tutti

FROM debian:12-slim
# Debian's own library packages, the floor that tutti supports. tests/live/test_image.py holds this list to the program.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
        librdkafka1 libcurl4 zlib1g libhiredis0.14 libevent-2.1-7 libevent-openssl-2.1-7 libssl3 libfyaml0 libpcre2-8-0 libjansson4 \
    && rm -rf /var/lib/apt/lists/* && install -d -o 65532 -g 65532 -m 0700 /var/lib/tutti
COPY --from=build /out/tutti /usr/local/bin/tutti
USER 65532:65532
# Answers that Redis could not take wait here: give it a volume.
VOLUME /var/lib/tutti
EXPOSE 8088
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["tutti", "status", "--quiet"]
ENTRYPOINT ["tutti"]
CMD ["run"]
