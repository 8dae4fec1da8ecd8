/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted peer over TLS. OpenSSL is taken from the process (libcurl has loaded it) by name, because the http
 * module and so its tests link nothing but libcurl; certificates are made with the openssl command. */
#ifndef HTTP_TLS_PEER_H
#define HTTP_TLS_PEER_H

#include <dlfcn.h>

#include "peer.h"

enum { TLS_FILETYPE_PEM = 1, TLS_CTRL_SET_MIN = 123, TLS_CTRL_SET_MAX = 124, TLS_V1_1 = 0x0302, TLS_V1_2 = 0x0303 };

struct tls_api {
    const void *(*server_method)(void);
    void *(*ctx_new)(const void *method);
    void (*ctx_free)(void *ctx);
    long (*ctx_ctrl)(void *ctx, int what, long value, void *unused);
    int (*set_cipher_list)(void *ctx, const char *list);
    int (*use_certificate)(void *ctx, const char *file, int type);
    int (*use_key)(void *ctx, const char *file, int type);
    void *(*new_)(void *ctx);
    void (*free_)(void *ssl);
    int (*set_fd)(void *ssl, int fd);
    int (*accept)(void *ssl);
    int (*read)(void *ssl, void *p, int n);
    int (*write)(void *ssl, const void *p, int n);
    int (*shutdown)(void *ssl);
};

static struct tls_api tls;

/* False when there is no OpenSSL 3 in sight. */
static bool tls_load(void)
{
    void *lib = dlopen("libssl.so.3", RTLD_NOW | RTLD_GLOBAL);
    const struct {
        const char *name;
        void *place;
    } rows[] = {
        {"TLS_server_method", &tls.server_method},
        {"SSL_CTX_new", &tls.ctx_new},
        {"SSL_CTX_free", &tls.ctx_free},
        {"SSL_CTX_ctrl", &tls.ctx_ctrl},
        {"SSL_CTX_set_cipher_list", &tls.set_cipher_list},
        {"SSL_CTX_use_certificate_file", &tls.use_certificate},
        {"SSL_CTX_use_PrivateKey_file", &tls.use_key},
        {"SSL_new", &tls.new_},
        {"SSL_free", &tls.free_},
        {"SSL_set_fd", &tls.set_fd},
        {"SSL_accept", &tls.accept},
        {"SSL_read", &tls.read},
        {"SSL_write", &tls.write},
        {"SSL_shutdown", &tls.shutdown},
    };

    for (size_t i = 0; lib != NULL && i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *f = dlsym(lib, rows[i].name);

        if (f == NULL)
            return false;
        memcpy(rows[i].place, &f, sizeof(f));
    }
    return lib != NULL;
}

/* Makes dir/name.pem with key and certificate for one subjectAltName, e.g. "IP:127.0.0.1". */
static bool tls_make_cert(const char *dir, const char *name, const char *alt)
{
    char command[1024];

    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
             "-addext subjectAltName=%s -keyout %s/%s.key -out %s/%s.pem >/dev/null 2>&1",
             alt, dir, name, dir, name);
    return system(command) == 0;
}

static bool tls_greet(struct peer_conn *c)
{
    c->tls = tls.new_(c->peer->tls);
    (void)tls.set_fd(c->tls, c->fd);
    return tls.accept(c->tls) == 1;
}

static ssize_t tls_read(struct peer_conn *c, void *p, size_t n)
{
    return tls.read(c->tls, p, (int)n);
}

static ssize_t tls_write(struct peer_conn *c, const void *p, size_t n)
{
    return tls.write(c->tls, p, (int)n);
}

static void tls_bye(struct peer_conn *c)
{
    if (c->tls == NULL)
        return;
    (void)tls.shutdown(c->tls);
    tls.free_(c->tls);
    c->tls = NULL;
}

/* max_version 0: any. Stop it with tls_peer_stop(). */
static struct peer *tls_peer_new(const char *dir, const char *name, long max_version, peer_script script)
{
    struct peer *p = calloc(1, sizeof(*p));
    char path[512];

    p->greet = tls_greet;
    p->read = tls_read;
    p->write = tls_write;
    p->bye = tls_bye;
    p->tls = tls.ctx_new(tls.server_method());
    snprintf(path, sizeof(path), "%s/%s.pem", dir, name);
    (void)tls.use_certificate(p->tls, path, TLS_FILETYPE_PEM);
    snprintf(path, sizeof(path), "%s/%s.key", dir, name);
    (void)tls.use_key(p->tls, path, TLS_FILETYPE_PEM);
    if (max_version > 0) {
        (void)tls.set_cipher_list(p->tls, "DEFAULT:@SECLEVEL=0");
        (void)tls.ctx_ctrl(p->tls, TLS_CTRL_SET_MIN, TLS_V1_1, NULL);
        (void)tls.ctx_ctrl(p->tls, TLS_CTRL_SET_MAX, max_version, NULL);
    }
    peer_start(p, script);
    return p;
}

static void tls_peer_stop(struct peer *p)
{
    void *ctx = p->tls;

    peer_stop(p);
    tls.ctx_free(ctx);
}

#endif
