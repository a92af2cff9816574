/* What ring 3 sees of faults, single steps and code that changes itself: each line has the signal,
   trap number, error code, offset and registers of one small piece of code. The same on every
   engine and, but for what only a 64-bit kernel does otherwise, on the processor itself. Without
   alignment checks of x87 operands, which docs/limitations.md (L3) leaves out. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
static unsigned char *code, *np, *ro, *ok;
static sigjmp_buf jb;
static struct {
  int sig, trap, err, code;
  unsigned ip, cr2, efl, ax, cx, si, di, sp;
} f;
static unsigned steps[64];
static int nsteps, stepping;
static void h(int s, siginfo_t* i, void* u) {
  asm volatile("pushf\n andl $~0x40000,(%esp)\n popf");
  greg_t* g = ((ucontext_t*)u)->uc_mcontext.gregs;
  if (stepping && s == SIGTRAP && g[REG_TRAPNO] == 1) {
    if (nsteps < 64) steps[nsteps++] = g[REG_EIP] - (unsigned)code;
    if (nsteps >= 40) g[REG_EFL] &= ~0x100;
    return;
  }
  f.sig = s;
  f.trap = g[REG_TRAPNO];
  f.err = g[REG_ERR];
  if (f.trap == 14) f.err &= ~0x10; /* a fetch: told only with NX */
  f.code = i->si_code;
  f.ip = g[REG_EIP] - (unsigned)code;
  f.cr2 = ((ucontext_t*)u)->uc_mcontext.cr2;
  f.efl = g[REG_EFL];
  f.ax = g[REG_EAX];
  f.cx = g[REG_ECX];
  f.si = g[REG_ESI];
  f.di = g[REG_EDI];
  f.sp = g[REG_ESP];
  siglongjmp(jb, 1);
}
static unsigned rel(unsigned a) {
  if (a - (unsigned)np < 8192) return 0x10000 + a - (unsigned)np;
  if (a - (unsigned)ro < 8192) return 0x20000 + a - (unsigned)ro;
  if (a - (unsigned)ok < 8192) return 0x30000 + a - (unsigned)ok;
  if (a - (unsigned)code < 8192) return 0x40000 + a - (unsigned)code;
  return a;
}
static int off;
static void run(const char* name, const char* bytes, int n, unsigned si, unsigned di, unsigned cx) {
  unsigned char* p = code + off;
  memset(code, 0xcc, 4096);
  memcpy(p, bytes, n);
  p[n] = 0xc3;
  f.sig = 0;
  unsigned ax = 0, bx;
  if (!sigsetjmp(jb, 1)) {
    asm volatile(
        "push %%ebp\n push %%ebx\n mov %%eax,%%ebx\n mov $0x11,%%eax\n mov $0x22,%%edx\n call "
        "*%%ebx\n mov %%ebx,%%edx\n pop %%ebx\n pop %%ebp"
        : "+a"((p)), "+S"(si), "+D"(di), "+c"(cx), "=d"(bx)::"memory", "cc");
    ax = (unsigned)p;
    printf("%s: ok ax=%x cx=%x si=%x di=%x\n", name, ax == (unsigned)(code + off) ? 0 : ax, cx,
           rel(si), rel(di));
  } else
    printf("%s: sig=%d trap=%d err=%x code=%d ip=%x cr2=%x rf=%d cx=%x si=%x di=%x\n", name, f.sig,
           f.trap, f.err, f.code, f.ip, f.trap == 14 ? rel(f.cr2) : 0, f.efl >> 16 & 1, f.cx,
           rel(f.si), rel(f.di));
  asm volatile("cld\n fninit");
  unsigned mx = 0x1f80;
  asm volatile("ldmxcsr %0" ::"m"(mx));
  asm volatile("pushf\n andl $~0x40100,(%esp)\n popf");
}
#define R(name, bytes) run(name, bytes, sizeof bytes - 1, (unsigned)ok, (unsigned)ro, 4)
#define RX(name, bytes, si, di, cx) \
  run(name, bytes, sizeof bytes - 1, (unsigned)(si), (unsigned)(di), cx)
static void ldt(int n, unsigned base, unsigned limit, int b32, int contents, int ronly, int pages,
                int np_) {
  struct user_desc d = {n, base, limit, b32, contents, ronly, pages, np_, 1};
  syscall(SYS_modify_ldt, 1, &d, sizeof d);
}
static void step(const char* name, const char* bytes, int n) {
  memset(code, 0x90, 4096);
  memcpy(code, bytes, n);
  code[n] = 0xc3;
  nsteps = 0;
  stepping = 1;
  f.sig = 0;
  unsigned a = (unsigned)code;
  if (!sigsetjmp(jb, 1))
    asm volatile(
        "push %%ebx\n push %%ebp\n mov %%eax,%%ebx\n mov $3,%%ecx\n mov %%ecx,%%eax\n call "
        "*%%ebx\n pop %%ebp\n pop %%ebx"
        : "+a"(a)
        : "S"(ok), "D"(ok + 64)
        : "ecx", "edx", "memory", "cc");
  stepping = 0;
  asm volatile("pushf\n andl $~0x100,(%esp)\n popf");
  printf("step %s:", name);
  for (int i = 0; i < nsteps; i++) printf(" %x", steps[i]);
  if (f.sig) printf(" sig=%d ip=%x", f.sig, f.ip);
  printf("\n");
}
#define S(name, bytes) step(name, bytes, sizeof bytes - 1)
#define TFON "\x9c\x81\x0c\x24\x00\x01\x00\x00\x9d"
#define TFOFF "\x9c\x81\x24\x24\xff\xfe\xff\xff\x9d"
int main() {
  setvbuf(stdout, 0, _IOLBF, 0);
  code = mmap((void*)0x20000000, 8192, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  mprotect(code + 4096, 4096, PROT_NONE);
  ok = mmap((void*)0x20100000, 16384, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  memset(ok, 1, 8192);
  np = ok + 8192;
  mprotect(np, 8192, PROT_NONE);
  ro = mmap((void*)0x20200000, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ro[0] = 5;
  mprotect(ro, 8192, PROT_READ);
  stack_t ss = {.ss_sp = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = 65536};
  sigaltstack(&ss, 0);
  struct sigaction sa = {.sa_sigaction = h, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int sg[] = {4, 5, 7, 8, 11};
  for (int i = 0; i < 5; i++) sigaction(sg[i], &sa, 0);
  R("ud2", "\x0f\x0b");
  R("lock nop", "\xf0\x90");
  R("lock mov", "\xf0\xb8\1\0\0\0");
  R("lock bt", "\xf0\x0f\xa3\x06");
  R("lock inc", "\xf0\xff\x06");
  R("lock xchg reg", "\xf0\x87\xc1");
  R("16 bytes", "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90");
  R("15 bytes", "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x90");
  R("cmpxchg8b reg", "\x0f\xc7\xc9");
  R("pop 8f/1", "\x8f\x0e");
  R("hlt", "\xf4");
  R("cli", "\xfa");
  R("sti", "\xfb");
  R("in", "\xe4\x80");
  R("out dx", "\xee");
  R("insb", "\x6c");
  R("outsb", "\x6e");
  R("rep outsb cx0", "\x31\xc9\xf3\x6e");
  R("clts", "\x0f\x06");
  R("mov cr0", "\x0f\x20\xc0");
  R("mov dr7", "\x0f\x21\xf8");
  R("lgdt", "\x0f\x01\x16");
  R("invlpg", "\x0f\x01\x3e");
  R("wbinvd", "\x0f\x09");
  R("rdmsr", "\x0f\x32");
  R("rdpmc", "\x0f\x33");
  R("ltr", "\x0f\x00\xd8");
  R("lldt", "\x0f\x00\xd0");
  R("sysexit", "\x0f\x35");
  R("iret nt", "\x68\x02\x42\x00\x00\x9d\xcf");
  R("int3", "\xcc");
  R("cd 03", "\xcd\x03");
  R("int1 f1", "\xf1");
  R("cd 01", "\xcd\x01");
  R("into", "\xb0\x7f\x04\x01\xce");
  R("into no", "\x31\xc0\xce");
  R("int 0d", "\xcd\x0d");
  R("int ff", "\xcd\xff");
  R("int 20", "\xcd\x20");
  R("bound", "\x31\xc0\x48\x48\x62\x06");
  R("div0", "\x31\xc9\xf7\xf1");
  R("idiv min", "\xb8\0\0\0\x80\x99\x83\xc9\xff\xf7\xf9");
  R("aam0", "\xd4\x00");
  R("div ovf", "\xba\1\0\0\0\xb9\1\0\0\0\xf7\xf1");
  R("mov ds bad", "\xb8\xf8\1\0\0\x8e\xd8");
  R("mov ds gdt0 rpl0", "\xb8\x08\0\0\0\x8e\xd8");
  R("mov ss 0", "\x31\xc0\x8e\xd0");
  R("mov fs ldt", "\xb8\xff\0\0\0\x8e\xe0");
  R("mov cs", "\x8e\xc8");
  R("retf bad", "\x68\xf8\1\0\0\x68\0\0\0\0\xcb");
  R("jmpf bad", "\xea\0\0\0\0\xf8\1");
  R("jmpf data", "\xea\0\0\0\0\x2b\0");
  R("callf null", "\x9a\0\0\0\0\0\0");
  R("popf iopl", "\x68\x02\x32\0\0\x9d\x9c\x58");
  R("cmpxchg ro", "\x0f\xb1\x0f");
  R("lock cmpxchg np", "\xbf\x00\x20\x10\x20\xf0\x0f\xb1\x0f");
  R("cmpxchg8b ro", "\x0f\xc7\x0f");
  R("xadd ro", "\x0f\xc1\x07");
  R("add0 ro", "\x83\x07\x00");
  R("bts ro", "\x0f\xba\x2f\x00");
  R("shl0 ro", "\xc1\x27\x00");
  R("setc ro", "\x0f\x92\x07");
  R("pop ro", "\x6a\x01\x8f\x07");
  R("fstp ro", "\xd9\xee\xd9\x1f");
  R("movsb ro", "\xa4");
  RX("rep movsd to np", "\xf3\xa5", ok, np - 8, 10);
  RX("rep movsd from np", "\xf3\xa5", np - 8, ok, 10);
  RX("rep movsd odd", "\xf3\xa5", np - 6, ok, 10);
  RX("rep stosb np", "\xf3\xaa", ok, np - 3, 10);
  RX("std rep stosd", "\xfd\xf3\xab", ok, np + 4, 10);
  RX("repe cmpsb", "\xf3\xa6", np - 4, ok, 10);
  RX("repne scasb", "\xf2\xae", ok, np - 4, 10);
  RX("lods", "\xac", np, ok, 1);
  RX("movs both", "\xa5", np, ro, 1);
  RX("write straddle", "\xc7\x07\xff\xff\xff\xff", ok, np - 2, 1);
  printf("tail %02x%02x\n", np[-1 - 8192 + 8192], np[-2]);
  RX("xchg straddle", "\x87\x07", ok, np - 2, 1);
  RX("fistp straddle", "\xd9\xe8\xdf\x3f", ok, np - 4, 1);
  printf("tail %02x%02x\n", np[-1], np[-2]);
  RX("movups straddle", "\x0f\x11\x07", ok, np - 8, 1);
  RX("movaps misaligned", "\x0f\x29\x06", ok + 4, ok, 1);
  RX("fxsave misaligned", "\x0f\xae\x06", ok + 8, ok, 1);
  RX("addps misaligned", "\x0f\x58\x06", ok + 4, ok, 1);
  RX("fxrstor bad mxcsr", "\xc7\x46\x18\xff\xff\xff\xff\x0f\xae\x0e", ok, ok, 1);
  RX("ldmxcsr bad", "\xc7\x06\xff\xff\xff\xff\x0f\xae\x16", ok, ok, 1);
  RX("enter np", "\x89\xe5\x8d\xa7\0\0\0\0\xc8\x10\0\0", ok, np + 4, 1);
  RX("pusha half", "\x8d\x67\x08\x60", ok, np + 4096 - 4096, 1);
  RX("call half", "\x89\xfc\xe8\0\0\0\0", ok, np + 2, 1);
  RX("ret np", "\x89\xfc\xc3", ok, np, 1);
  RX("leave np", "\x89\xfd\xc9", ok, np, 1);
  off = 4096 - 1;
  R("1 byte then none", "");
  off = 4096 - 2;
  run("jmp short end", "\xeb", 1, 0, 0, 0);
  off = 4096 - 4;
  code[off] = 0;
  run("jz straddles", "\x31\xc0\x0f", 3, 0, 0, 0);
  off = 4096 - 3;
  RX("rep movsd ends page", "\xf3\xa5", ok, ok + 256, 5);
  off = 0;
  R("ac load", "\x9c\x81\x0c\x24\0\0\4\0\x9d\x8b\x46\x01");
  R("ac push", "\x9c\x81\x0c\x24\0\0\4\0\x9d\x83\xec\x02\x50");
  R("x87 div0 fwait", "\x68\x3b\x03\0\0\xd9\x2c\x24\x58\xd9\xe8\xd9\xee\xde\xf9\x90\x90\x9b\x90");
  R("x87 inv fld", "\x68\x3e\x03\0\0\xd9\x2c\x24\x58\xd9\xe8\xd9\xe0\xd9\xfa\x90\xd9\xe8");
  R("x87 fnstsw ok", "\x68\x3b\x03\0\0\xd9\x2c\x24\x58\xd9\xe8\xd9\xee\xde\xf9\xdf\xe0\xdb\xe2");
  R("x87 stack", "\x68\x3e\x03\0\0\xd9\x2c\x24\x58\xdd\xd8\x9b");
  R("x87 ovf store",
    "\x68\x37\x03\0\0\xd9\x2c\x24\x58\xd9\xe8\x68\x00\x20\0\0\xdb\x04\x24\x58\xd9\xc9\xd9\xfd\xd9"
    "\x1e\x9b");
  R("x87 prec", "\x68\x1f\x03\0\0\xd9\x2c\x24\x58\xd9\xe8\xd9\xeb\xde\xf9\x9b");
  R("sse div0",
    "\x68\x80\x1d\0\0\x0f\xae\x14\x24\x58\x0f\x57\xc9\xb8\0\0\x80\x3f\x66\x0f\x6e\xc0\xf3\x0f\x5e"
    "\xc1");
  R("sse inv cmp",
    "\x68\0\x1f\0\0\x0f\xae\x14\x24\x58\xb8\1\0\x80\x7f\x66\x0f\x6e\xc0\x0f\x2f\xc0");
  R("mmx after unmasked", "\x68\x3b\x03\0\0\xd9\x2c\x24\x58\xd9\xe8\xd9\xee\xde\xf9\x0f\x77");
  ldt(0, (unsigned)ok, 15, 1, 0, 0, 0, 0);
  R("ldt byte 15", "\xb8\7\0\0\0\x8e\xe0\x64\x8a\x05\x0f\0\0\0");
  R("ldt word 15", "\xb8\7\0\0\0\x8e\xe0\x64\x66\xa1\x0f\0\0\0");
  R("ldt dword -1", "\xb8\7\0\0\0\x8e\xe0\x64\xa1\xff\xff\xff\xff");
  R("ldt es rep stos", "\xb8\7\0\0\0\x06\x8e\xc0\x31\xff\x83\xc7\x0c\xf3\xab\x07");
  ldt(1, (unsigned)ok, 0xff, 1, 1, 0, 0, 0);
  R("down ff", "\xb8\x0f\0\0\0\x8e\xe0\x64\x8a\x05\xff\0\0\0");
  R("down 100", "\xb8\x0f\0\0\0\x8e\xe0\x64\x8a\x05\0\1\0\0");
  ldt(2, (unsigned)ok, 0xfff, 1, 0, 1, 0, 0);
  R("ldt ro write", "\xb8\x17\0\0\0\x8e\xe0\x64\xa3\0\0\0\0");
  ldt(3, (unsigned)ok, 0xfff, 1, 0, 0, 0, 1);
  R("ldt np load", "\xb8\x1f\0\0\0\x8e\xe0");
  R("ldt np ss", "\xb8\x1f\0\0\0\x8e\xd0");
  R("null fs use", "\x31\xc0\x8e\xe0\x64\xa1\0\0\0\0");
  S("popf", TFON "\x90\x90" TFOFF "\x90");
  S("movss", "\x8c\xd0" TFON "\x8e\xd0\x90\x90" TFOFF);
  S("rep movsb", "\xb9\3\0\0\0" TFON "\xf3\xa4\x90" TFOFF);
  S("call/ret", TFON "\xe8\x01\0\0\0\x90\x90" TFOFF);
  S("int80", "\xb8\x14\0\0\0" TFON "\xcd\x80\x90\x90" TFOFF);
  S("loop", "\xb9\2\0\0\0" TFON "\xe2\xfe\x90" TFOFF);
  S("cpuid,rdtsc", "\x53\x31\xc0" TFON "\x0f\xa2\x0f\x31\x90" TFOFF "\x5b");
  S("pushf sees TF", TFON "\x9c\x58\x90" TFOFF);
  S("fault under TF", TFON "\x0f\x0b");
  S("jcc", TFON "\x31\xc0\x74\x02\x90\x90\x75\x02\x90\x90" TFOFF);
  unsigned r = 0;
  for (int i = 0; i < 300; i++) {
    static const unsigned char sm[] = {0x88, 0x48, 0x06, 0xb8, 1, 0, 0xb8, 0, 0, 0, 0, 0xc3};
    unsigned char* p = code;
    memcpy(p, "\x88\x0d\x07\x00\x00\x20\xb8\0\0\0\0\xc3", 12);
    unsigned o;
    asm volatile("call *%1" : "=a"(o) : "r"(p), "c"(i & 255));
    r = r * 31 + o;
    (void)sm;
  }
  printf("smc next %x\n", r);
  r = 0;
  for (int i = 0; i < 300; i++) {
    unsigned char* p = code + 64;
    memcpy(p, "\xf3\xaa\xb8\0\0\0\0\xc3", 8);
    unsigned o;
    asm volatile("call *%1" : "=a"(o) : "r"(p), "c"(1), "D"(p + 3), "a"(i & 255));
    r = r * 31 + o;
  }
  printf("smc rep %x\n", r);
  int fd = memfd_create("a", 0);
  if (fd >= 0) {
    ftruncate(fd, 4096);
    unsigned char* w = mmap(0, 4096, 3, MAP_SHARED, fd, 0);
    unsigned char* x = mmap(0, 4096, 5, MAP_SHARED, fd, 0);
    r = 0;
    for (int i = 0; i < 300; i++) {
      memcpy(w, "\xb8\0\0\0\0\xc3", 6);
      w[1] = i;
      r = r * 31 + ((unsigned (*)(void))x)();
    }
    printf("smc alias %x\n", r);
    pwrite(fd, "\xb8\x99\0\0\0\xc3", 6, 0);
    printf("smc pwrite %x\n", ((unsigned (*)(void))x)());
  }
  printf("DONE\n");
  fflush(stdout);
}
