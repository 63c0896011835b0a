/*
 * The process that holds the namespaces of a pod's sandbox. As process 1 of a
 * shared PID namespace it reaps orphans; it ends on TERM and INT. It waits for
 * signals instead of handling them, so it needs neither a C library nor a
 * signal trampoline, and never wakes up otherwise.
 *
 * Built with -nostdlib -static for each architecture by scripts/payload.
 */

#define SIG_BLOCK 0
#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define WNOHANG 1

#if defined(__x86_64__)
enum { WAIT4 = 61, EXIT_GROUP = 231, RT_SIGPROCMASK = 14, RT_SIGTIMEDWAIT = 128 };
#define ENTRY "xor %rbp,%rbp\n and $-16,%rsp\n call run\n"
static long call(long n, long a, long b, long c, long d)
{
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}
#elif defined(__aarch64__)
enum { WAIT4 = 260, EXIT_GROUP = 94, RT_SIGPROCMASK = 135, RT_SIGTIMEDWAIT = 137 };
#define ENTRY "bl run\n"
static long call(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#elif defined(__arm__)
enum { WAIT4 = 114, EXIT_GROUP = 248, RT_SIGPROCMASK = 175, RT_SIGTIMEDWAIT = 177 };
#define ENTRY "bl run\n"
static long call(long n, long a, long b, long c, long d)
{
	register long r7 __asm__("r7") = n;
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;
	register long r3 __asm__("r3") = d;
	__asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3) : "memory");
	return r0;
}
#elif defined(__riscv)
enum { WAIT4 = 260, EXIT_GROUP = 94, RT_SIGPROCMASK = 135, RT_SIGTIMEDWAIT = 137 };
#define ENTRY "call run\n"
static long call(long n, long a, long b, long c, long d)
{
	register long a7 __asm__("a7") = n;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3) : "memory");
	return a0;
}
#else
#error "no system calls for this architecture"
#endif

__asm__(".globl _start\n_start:\n" ENTRY);

#define BIT(sig) (1ULL << ((sig)-1))

__attribute__((used, noreturn)) void run(void)
{
	unsigned long long set = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);

	/* Blocked signals stay pending even for process 1, which ignores unhandled ones. */
	call(RT_SIGPROCMASK, SIG_BLOCK, (long)&set, 0, sizeof set);
	for (;;) {
		switch (call(RT_SIGTIMEDWAIT, (long)&set, 0, 0, sizeof set)) {
		case SIGCHLD:
			while (call(WAIT4, -1, 0, WNOHANG, 0) > 0)
				;
			break;
		case SIGINT:
		case SIGTERM:
			for (;;)
				call(EXIT_GROUP, 0, 0, 0, 0);
		}
	}
}
