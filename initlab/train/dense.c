/* One step of many small fully connected networks, one network after the other, so that what a
   network needs stays in the caches of its core. `dense.py` says when this is used, and how.

   Arrays are row-major. Matrix products go to the sgemm that is handed in, of a Fortran BLAS. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__linux__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

#define INLINE static inline __attribute__((always_inline))

typedef void sgemm_t(const char *, const char *, const int *, const int *, const int *, const float *,
                     const float *, const int *, const float *, const int *, const float *, float *,
                     const int *);

enum { LINEAR, RELU, TANH, SIGMOID };

typedef struct {
    sgemm_t *sgemm;
    int networks, batch, layers; /* R, B, L ≥ 2: the head is layer L */
    int activation;
    int shared;         /* whether all networks see the same samples */
    int update;         /* 1: results are added to what is there; 0: they take its place */
    const int *widths;  /* L + 1: inputs, units of each layer */
    float **weights;    /* L × (R, n, k) */
    float **biases;     /* L × (R, n), or NULL where there is none */
    float **weight_out; /* where results go: as `weights` */
    float **bias_out;   /* as `biases` */
    const float *times; /* R: results are gradients times these */
    float *scratch;
    float *losses;      /* R: the mean over the batch */
} Step;

/* c (m, n) = alpha · a b + beta · c, where a is (m, k), or (k, m) if ta is 'T', and b alike. */
static void product(sgemm_t *sgemm, char ta, char tb, int m, int n, int k, float alpha, const float *a,
                    const float *b, float beta, float *c)
{
    /* Fortran sees each array transposed, and the product of transposes is taken the other way. */
    int lda = ta == 'T' ? m : k, ldb = tb == 'T' ? k : n;
    sgemm(&tb, &ta, &n, &m, &k, &alpha, b, &ldb, a, &lda, &beta, c, &n);
}

/* exp x for x ≤ 0, to two units in the last place: exp(r) 2^n with |r| ≤ ln(2) / 2. */
INLINE float exp_(float x)
{
    x = x < -87.0f ? -87.0f : x; /* a NaN stays one */
    float n = rintf(x * 1.44269504f);
    float r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x));
    float y = 1.0f / 5040;
    y = fmaf(y, r, 1.0f / 720);
    y = fmaf(y, r, 1.0f / 120);
    y = fmaf(y, r, 1.0f / 24);
    y = fmaf(y, r, 1.0f / 6);
    y = fmaf(y, r, 0.5f);
    y = fmaf(y, r, 1.0f);
    y = fmaf(y, r, 1.0f);
    union { int32_t i; float f; } power = {((int32_t)n + 127) << 23};
    return y * power.f;
}

INLINE float tanh_(float x)
{
    float t = exp_(-2 * fabsf(x)), far = copysignf((1 - t) / (1 + t), x);
    float s = x * x; /* near zero by the continued fraction, where `far` has lost its digits */
    float near = x * (135135 + s * (17325 + s * (378 + s))) / (135135 + s * (62370 + s * (3150 + s * 28)));
    return fabsf(x) < 0.6f ? near : far;
}

INLINE float sigmoid_(float x)
{
    float t = exp_(-fabsf(x));
    return (x >= 0 ? 1 : t) / (1 + t);
}

/* z (n, B) becomes φ(z + b). */
INLINE void activate(int activation, float *restrict z, const float *bias, int n, int B)
{
    for (int i = 0; i < n; i++, z += B) {
        float b = bias ? bias[i] : 0;
        switch (activation) {
        case LINEAR:
            if (bias)
                for (int j = 0; j < B; j++) z[j] += b;
            break;
        case RELU:
            for (int j = 0; j < B; j++) {
                float v = z[j] + b;
                z[j] = v < 0 ? 0 : v; /* a NaN stays one */
            }
            break;
        case TANH:
            for (int j = 0; j < B; j++) z[j] = tanh_(z[j] + b);
            break;
        case SIGMOID:
            for (int j = 0; j < B; j++) z[j] = sigmoid_(z[j] + b);
            break;
        }
    }
}

/* out = times · g · φ′, from φ's output h alone. */
INLINE void slope(int activation, float *out, const float *g, const float *h, float times, int count)
{
    switch (activation) {
    case LINEAR:
        for (int j = 0; j < count; j++) out[j] = times * g[j];
        break;
    case RELU:
        for (int j = 0; j < count; j++) out[j] = h[j] <= 0 ? 0 : times * g[j];
        break;
    case TANH:
        for (int j = 0; j < count; j++) out[j] = times * g[j] * (1 - h[j] * h[j]);
        break;
    case SIGMOID:
        for (int j = 0; j < count; j++) out[j] = times * g[j] * (1 - h[j]) * h[j];
        break;
    }
}

/* The mean cross-entropy of logits z (C, B), which become its gradient. `top` and `sum` have room for
   B numbers each; `least` as in loss.py. */
INLINE float loss_gradient(float *restrict z, const int64_t *y, int C, int B, float least,
                           float *restrict top, float *restrict sum)
{
    memcpy(top, z, B * sizeof *z);
    for (int c = 1; c < C; c++)
        for (int j = 0; j < B; j++) top[j] = z[c * B + j] > top[j] ? z[c * B + j] : top[j];
    double loss = 0;
    for (int j = 0; j < B; j++) loss += top[j] - z[y[j] * B + j];
    memset(sum, 0, B * sizeof *sum);
    for (int c = 0; c < C; c++)
        for (int j = 0; j < B; j++) sum[j] += z[c * B + j] = exp_(z[c * B + j] - top[j]);
    for (int j = 0; j < B; j++) {
        loss += logf(sum[j]);
        sum[j] = 1 / sum[j];
    }
    float share = 1.0f / B;
    for (int c = 0; c < C; c++)
        for (int j = 0; j < B; j++) {
            float p = z[c * B + j] * sum[j];
            z[c * B + j] = share * (p < least ? least : p);
        }
    for (int j = 0; j < B; j++) z[y[j] * B + j] -= share;
    return (float)loss / B; /* too large a sum is infinite, as it is in PyTorch */
}

/* Samples x[chosen] of `size` numbers each, one after the other. Those after next are asked for while
   one is copied: they lie far apart. */
INLINE void gather(float *out, const float *x, const int64_t *chosen, int count, int size)
{
    enum { LINE = 16, AHEAD = 4 };
    for (int j = 0; j < count; j++, out += size) {
        const float *from = x + (size_t)chosen[j] * size;
        const float *later = j + AHEAD < count ? x + (size_t)chosen[j + AHEAD] * size : from;
        int i = 0;
        for (; i + LINE <= size; i += LINE) {
#ifdef __GNUC__
            __builtin_prefetch(later + i);
#endif
            memcpy(out + i, from + i, LINE * sizeof *x);
        }
        memcpy(out + i, from + i, (size - i) * sizeof *x);
    }
}

/* One step of all networks; 1 if a class is none of the head's, and then nothing has changed. Without `chosen`, x is the batch, (B, in) or (R, B, in); with it, x has
   all samples, and `chosen` those of the batch, (B) or (R, B). Classes y are (B) or (R, B), `apart`
   from one network to the next. `scratch` has room for
   B · (in + Σ n + 2 max n + 2) + (shared ? R · n₁ · B : 0) numbers. */
FOR_EACH_PROCESSOR
int step(const Step *s, const float *x, const int64_t *chosen, const int64_t *y, int apart, float least)
{
    int R = s->networks, B = s->batch, L = s->layers;
    const int *n = s->widths;
    float *free = s->scratch, *gathered = free, *h[L + 1], *back[2], *stacked;
    int widest = 0;
    for (int r = 0; r < (apart ? R : 1); r++)
        for (int j = 0; j < B; j++)
            if (y[(size_t)r * apart + j] < 0 || y[(size_t)r * apart + j] >= n[L]) return 1;
    free += (size_t)n[0] * B;
    for (int l = 1; l <= L; l++) {
        h[l] = free;
        free += (size_t)n[l] * B;
        widest = n[l] > widest ? n[l] : widest;
    }
    back[0] = free;
    back[1] = back[0] + (size_t)widest * B;
    float *top = back[1] + (size_t)widest * B, *sum = top + B;
    stacked = sum + B;

    if (s->shared) {
        if (chosen) {
            gather(gathered, x, chosen, B, n[0]);
            x = gathered;
        }
        product(s->sgemm, 'N', 'T', R * n[1], B, n[0], 1, s->weights[0], x, 0, stacked);
    }
    for (int r = 0; r < R; r++) {
        const float *in = x;
        float times = s->times[r];
        if (s->shared)
            h[1] = stacked + (size_t)r * n[1] * B;
        else if (chosen)
            gather(gathered, x, chosen + (size_t)r * B, B, n[0]), in = gathered;
        else
            in = x + (size_t)r * B * n[0];

        for (int l = 1; l <= L; l++) {
            const float *W = s->weights[l - 1] + (size_t)r * n[l] * n[l - 1];
            const float *b = s->biases[l - 1] ? s->biases[l - 1] + (size_t)r * n[l] : 0;
            if (l > 1)
                product(s->sgemm, 'N', 'N', n[l], B, n[l - 1], 1, W, h[l - 1], 0, h[l]);
            else if (!s->shared) {
                /* With the samples as rows, of which there are more than units, a BLAS is faster. */
                product(s->sgemm, 'N', 'T', B, n[1], n[0], 1, in, W, 0, back[0]);
                for (int i = 0; i < n[1]; i++)
                    for (int j = 0; j < B; j++) h[1][(size_t)i * B + j] = back[0][(size_t)j * n[1] + i];
            }
            activate(l < L ? s->activation : LINEAR, h[l], b, n[l], B);
        }

        float *g = h[L];
        s->losses[r] = loss_gradient(g, y + (size_t)r * apart, n[L], B, least, top, sum);
        for (int l = L; l >= 1; l--) {
            size_t at = (size_t)r * n[l];
            int last = s->shared && l == 1;
            if (s->bias_out[l - 1])
                for (int i = 0; i < n[l]; i++) {
                    float total = 0, *out = s->bias_out[l - 1] + at + i;
#pragma omp simd reduction(+ : total)
                    for (int j = 0; j < B; j++) total += g[(size_t)i * B + j];
                    *out = (s->update ? *out : 0) + (last ? total : times * total);
                }
            if (last) break;
            float *W = s->weights[l - 1] + at * n[l - 1], *out = s->weight_out[l - 1] + at * n[l - 1];
            float *next = back[l % 2];
            if (l > 1) product(s->sgemm, 'T', 'N', n[l - 1], B, n[l], 1, W, g, 0, next);
            product(s->sgemm, 'N', l > 1 ? 'T' : 'N', n[l], n[l - 1], B, times, g, l > 1 ? h[l - 1] : in,
                    s->update, out);
            if (l > 1) {
                /* What is shared goes through one product for all, each network's factor in it. */
                int ends = s->shared && l == 2;
                g = ends ? h[1] : next;
                slope(s->activation, g, next, h[l - 1], ends ? times : 1, n[l - 1] * B);
            }
        }
    }
    if (s->shared) product(s->sgemm, 'N', 'N', R * n[1], n[0], B, 1, stacked, x, s->update, s->weight_out[0]);
    return 0;
}
