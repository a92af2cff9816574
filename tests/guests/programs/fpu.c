/* x87 and SSE edge cases, a hash of all results of each instruction a line: special operands, every
   precision and rounding, exceptions masked and pending, tags, images in memory. Transcendental
   results are the processor's own, so that the reference is this program on the host. */
#include <stdio.h>
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned short u16;
typedef unsigned char u8;
static void pc(char c) { putchar(c); }
static void ps(const char* s) {
  while (*s) pc(*s++);
}
static void ph(u64 v, int n) {
  pc(' ');
  for (int i = n - 1; i >= 0; i--) pc("0123456789abcdef"[(v >> (4 * i)) & 15]);
}
typedef struct {
  u64 m;
  u16 e;
  u8 pad[6];
} x80;
static const x80 vals[] = {{0, 0},
                           {0, 0x8000},
                           {0x8000000000000000ull, 0x3fff},
                           {0x8000000000000000ull, 0xbfff},
                           {0xc90fdaa22168c235ull, 0x4000},
                           {0x8000000000000000ull, 0x7fff},
                           {0x8000000000000000ull, 0xffff},
                           {0xc000000000000000ull, 0x7fff},
                           {0xa000000000000001ull, 0x7fff},
                           {1, 0},
                           {0x7fffffffffffffffull, 0},
                           {0x8000000000000000ull, 0},
                           {0x8000000000000000ull, 1},
                           {0xffffffffffffffffull, 0x7ffe},
                           {0x8000000000000000ull, 0x3fbf},
                           {0xfffffffffffffffeull, 0x3ffe},
                           {0xde0b6b3a763fff00ull, 0x403a},
                           {0x8000000000000000ull, 0x403e},
                           {0xffffffffffffff00ull, 0x401e},
                           {0x4000000000000000ull, 0x4000},
                           {0xb504f333f9de6484ull, 0x3ffe},
                           {0xaaaaaaaaaaaaaaabull, 0xc005},
                           {0xffffffffffffffffull, 0x3fff},
                           {0x8000000000000000ull, 0x403f},
                           {0xa000000000000000ull, 0x4002},
                           {0x9249249249249249ull, 0x3ff0},
                           {0xc000000000000000ull, 0x43ff},
                           {0x8000000000000000ull, 0x3bff}};
#define NV (sizeof vals / sizeof vals[0])
static u64 acc;
static u32 lines;
static void mix(const void* p, int n) {
  const u8* b = p;
  for (int i = 0; i < n; i++) {
    acc = (acc ^ b[i]) * 0x100000001b3ull;
  }
}
#define UN(name, code)                                                     \
  static void name(int i, u16 cw) {                                        \
    x80 r = {0}, r2 = {0};                                                 \
    u16 sw, sw2;                                                           \
    asm volatile("fninit\n fldcw %4\n fldt %5\n " code                     \
                 "\n fnstsw %2\n fstpt %0\n fstpt %1\n fnstsw %3\n fnclex" \
                 : "=m"(r), "=m"(r2), "=m"(sw), "=m"(sw2)                  \
                 : "m"(cw), "m"(vals[i])                                   \
                 : "memory");                                              \
    mix(&r, 10);                                                           \
    mix(&r2, 10);                                                          \
    mix(&sw, 2);                                                           \
    mix(&sw2, 2);                                                          \
  }
#define BIN(name, code)                                                    \
  static void name(int i, int j, u16 cw) {                                 \
    x80 r = {0}, r2 = {0};                                                 \
    u16 sw, sw2;                                                           \
    asm volatile("fninit\n fldcw %4\n fldt %6\n fldt %5\n " code           \
                 "\n fnstsw %2\n fstpt %0\n fstpt %1\n fnstsw %3\n fnclex" \
                 : "=m"(r), "=m"(r2), "=m"(sw), "=m"(sw2)                  \
                 : "m"(cw), "m"(vals[i]), "m"(vals[j])                     \
                 : "memory");                                              \
    mix(&r, 10);                                                           \
    mix(&r2, 10);                                                          \
    mix(&sw, 2);                                                           \
    mix(&sw2, 2);                                                          \
  }
#define ST(name, code, n)                                                         \
  static void name(int i, u16 cw) {                                               \
    u8 b[16] = {0};                                                               \
    u16 sw;                                                                       \
    asm volatile("fninit\n fldcw %2\n fldt %3\n " code " %0\n fnstsw %1\n fnclex" \
                 : "=m"(b), "=m"(sw)                                              \
                 : "m"(cw), "m"(vals[i])                                          \
                 : "memory");                                                     \
    mix(b, n);                                                                    \
    mix(&sw, 2);                                                                  \
  }
/* clang-format off */
UN(sqrt_, "fsqrt")
UN(rnd, "frndint")
UN(xam, "fxam")
UN(xtract, "fxtract")
UN(chs, "fchs\n ftst")
UN(abs_, "fabs")
UN(sin_, "fsin")
UN(cos_, "fcos")
UN(sincos_, "fsincos")
UN(tan_, "fptan")
UN(m1, "f2xm1")
UN(incdec, "fincstp\n fxam\n fdecstp")
UN(free_, "ffree %%st(0)\n fxam")
BIN(add, "fadd %%st(1),%%st")
BIN(sub, "fsubr %%st(1),%%st")
BIN(mul, "fmul %%st(1),%%st")
BIN(div, "fdiv %%st(1),%%st")
BIN(prem, "fprem")
BIN(prem1, "fprem1")
BIN(scale, "fscale")
BIN(com, "fcom %%st(1)")
BIN(ucom, "fucom %%st(1)")
BIN(atan_, "fpatan\n fld1")
BIN(yl2x, "fyl2x\n fld1")
BIN(yl2xp1, "fyl2xp1\n fld1")
BIN(xch, "fxch %%st(1)")
BIN(cmov, "fucomi %%st(1)\n fcmovb %%st(1),%%st\n fcmovnu %%st(1),%%st")
ST(st32, "fstps", 4)
ST(st64, "fstpl", 8)
ST(i16, "fistps", 2)
ST(i32, "fistpl", 4)
ST(i64, "fistpll", 8)
ST(bcd, "fbstp", 10)
ST(tt16, "fisttps", 2)
ST(tt64, "fisttpll", 8)
/* clang-format on */
static void report(const char* n) {
  ps(n);
  ph(acc, 16);
  pc('\n');
  acc = 0xcbf29ce484222325ull;
  lines++;
}
static const u16 cws[] = {0x37f, 0x27f, 0x07f, 0x77f, 0xb7f, 0xf7f, 0x67f};
#define RUN1(f)                                       \
  do {                                                \
    for (unsigned c = 0; c < 7; c++)                  \
      for (unsigned i = 0; i < NV; i++) f(i, cws[c]); \
    report(#f);                                       \
  } while (0)
#define RUN2(f)                                            \
  do {                                                     \
    for (unsigned c = 0; c < 7; c++)                       \
      for (unsigned i = 0; i < NV; i++)                    \
        for (unsigned j = 0; j < NV; j++) f(i, j, cws[c]); \
    report(#f);                                            \
  } while (0)
static const u32 fv[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                         0x7fc00000, 0x7f800001, 1,          0x807fffff, 0x00800000, 0x7f7fffff,
                         0x4f000000, 0xcf000000, 0x3eaaaaab, 0x4b7fffff, 0x5f000000, 0x33800000};
#define NF (sizeof fv / sizeof fv[0])
#define SS(name, op)                                                                \
  do {                                                                              \
    for (unsigned m = 0; m < 6; m++)                                                \
      for (unsigned i = 0; i < NF; i++)                                             \
        for (unsigned j = 0; j < NF; j++) {                                         \
          static const u32 mx[] = {0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x9f80, 0x1fc0}; \
          u32 w = mx[m];                                                            \
          u32 x[4] = {fv[i], fv[j], fv[(i + j) % NF], fv[(i * 3 + j) % NF]},        \
              y[4] = {fv[j], fv[i], fv[(i * j) % NF], fv[(i + 5 * j) % NF]};        \
          u32 r[4] __attribute__((aligned(16)));                                    \
          u32 s;                                                                    \
          asm volatile("ldmxcsr %2\n movups %3,%%xmm0\n movups %4,%%xmm1\n " op     \
                       "\n movups %%xmm0,%0\n stmxcsr %1"                           \
                       : "=m"(r), "=m"(s)                                           \
                       : "m"(w), "m"(x), "m"(y)                                     \
                       : "memory");                                                 \
          mix(r, 16);                                                               \
          mix(&s, 4);                                                               \
        }                                                                           \
    u32 w = 0x1f80;                                                                 \
    asm volatile("ldmxcsr %0" ::"m"(w));                                            \
    report(name);                                                                   \
  } while (0)
static void misc(void) {
  // stack overflow and underflow, C1, tags; FNSAVE/FRSTOR; FXSAVE tag byte
  u16 sw;
  u8 b[128] __attribute__((aligned(16)));
  static u8 fx[512] __attribute__((aligned(16)));
  asm volatile("fninit\n fld1\n fld1\n fld1\n fld1\n fld1\n fld1\n fld1\n fld1\n fldz\n fnstsw %0"
               : "=m"(sw));
  ph(sw, 4);
  asm volatile("fninit\n fstp %%st(0)\n fnstsw %0" : "=m"(sw));
  ph(sw, 4);
  asm volatile("fninit\n fadd %%st(1),%%st\n fnstsw %0" : "=m"(sw));
  ph(sw, 4);
  asm volatile("fninit\n fldz\n fld1\n fldpi\n ffree %%st(1)\n fnsave %0" : "=m"(b));
  ph(*(u16*)b, 4);
  ph(*(u16*)(b + 4), 4);
  ph(*(u16*)(b + 8), 4);
  mix(b + 28, 80);
  asm volatile("frstor %1\n fnstsw %0" : "=m"(sw) : "m"(b));
  ph(sw, 4);
  asm volatile("fxsave %0" : "=m"(fx));
  ph(*(u16*)fx, 4);
  ph(*(u16*)(fx + 2), 4);
  ph(fx[4], 2);
  ph(*(u16*)(fx + 28), 4) /* some hosts have more bits */;
  fx[4] = 0xff;
  fx[5] = 0;
  asm volatile("fxrstor %0\n fld1" ::"m"(fx));
  asm volatile("fnstsw %0" : "=m"(sw));
  ph(sw, 4);
  asm volatile("fninit");
  asm volatile("movd %0,%%mm0\n" ::"r"(0x1234));
  asm volatile("fnstenv %0" : "=m"(b));
  ph(*(u16*)(b + 4), 4);
  ph(*(u16*)(b + 8), 4);
  asm volatile("fldcw %0" ::"m"(cws[0]));
  asm volatile("fnsave %0" : "=m"(b));
  ph(*(u16*)(b + 36), 4);
  asm volatile("emms\n fninit");
  // unmasked, pending: FNSTSW shows ES and B; FNCLEX clears
  u16 cw = 0x37b;
  asm volatile("fninit\n fldcw %1\n fldz\n fld1\n fdiv %%st(1),%%st\n fnstsw %0\n fnclex"
               : "=m"(sw)
               : "m"(cw));
  ph(sw, 4);
  asm volatile("fnstsw %0\n fninit" : "=m"(sw));
  ph(sw, 4);
  u8 bc[10];
  for (int i = 0; i < 10; i++) bc[i] = 0x99;
  bc[9] = 0x80;
  x80 r;
  asm volatile("fbld %1\n fstpt %0" : "=m"(r) : "m"(bc));
  ph(r.e, 4);
  ph(r.m, 16);
  x80 c;
  u16 s2;
  asm volatile("fninit\n fldpi\n fldl2e\n fldl2t\n fldlg2\n fldln2\n fnstsw %1\n fstpt %0"
               : "=m"(c), "=m"(s2));
  ph(c.m, 16);
  ph(s2, 4);
  cw = 0xb7f;
  asm volatile("fninit\n fldcw %1\n fldpi\n fstpt %0" : "=m"(c) : "m"(cw));
  ph(c.m, 16);
  pc('\n');
}
static int all(void) {
  acc = 0xcbf29ce484222325ull;
  misc();
  report("misc");
  RUN1(sqrt_);
  RUN1(rnd);
  RUN1(xam);
  RUN1(xtract);
  RUN1(chs);
  RUN1(abs_);
  RUN1(incdec);
  RUN1(free_);
  RUN1(m1);
  RUN1(sin_);
  RUN1(cos_);
  RUN1(sincos_);
  RUN1(tan_);
  RUN1(st32);
  RUN1(st64);
  RUN1(i16);
  RUN1(i32);
  RUN1(i64);
  RUN1(bcd);
  RUN1(tt16);
  RUN1(tt64);
  RUN2(add);
  RUN2(sub);
  RUN2(mul);
  RUN2(div);
  RUN2(prem);
  RUN2(prem1);
  RUN2(scale);
  RUN2(com);
  RUN2(ucom);
  RUN2(atan_);
  RUN2(yl2x);
  RUN2(yl2xp1);
  RUN2(xch);
  RUN2(cmov);
  SS("addps", "addps %%xmm1,%%xmm0");
  SS("mulps", "mulps %%xmm1,%%xmm0");
  SS("divps", "divps %%xmm1,%%xmm0");
  SS("maxps", "maxps %%xmm1,%%xmm0");
  SS("minss", "minss %%xmm1,%%xmm0");
  SS("sqrtps", "sqrtps %%xmm1,%%xmm0");
  SS("cmpltps", "cmpltps %%xmm1,%%xmm0");
  SS("cvtps2dq", "cvtps2dq %%xmm1,%%xmm0");
  SS("cvttps2dq", "cvttps2dq %%xmm1,%%xmm0");
  SS("cvtps2pd", "cvtps2pd %%xmm1,%%xmm0");
  SS("cvtpd2ps", "cvtpd2ps %%xmm1,%%xmm0");
  SS("addsubps", "addsubps %%xmm1,%%xmm0");
  SS("haddps", "haddps %%xmm1,%%xmm0");
  SS("dpps", "dpps $0xf1,%%xmm1,%%xmm0");
  SS("roundps", "roundps $4,%%xmm1,%%xmm0");
  SS("mulsd", "mulsd %%xmm1,%%xmm0");
  SS("comiss", "comiss %%xmm1,%%xmm0\n lahf\n movd %%eax,%%xmm0\n");
  ps("END\n");
  return 0;
}
int main(void) { return all(); }
