; Programs of ring 3 in three address spaces in turn, their pages given to them as they touch them;
; then a sum over all of RAM, page tables with their A and D bits among it. Nothing depends on time.
%include "../asm/guest.inc"

ROUNDS    equ 12
SPACES    equ 3
DIRECTORY equ SPARE + 0x100000    ; of each space, with a table behind it, 0x10000 apart
FRAMES    equ SPARE + 0x200000    ; handed out one after the other
DATA      equ VIRTUAL             ; the 4 MiB that differ in each space
STACK     equ VIRTUAL + 0x200000
CODE      equ VIRTUAL + 0x300000  ; code made at run time

main:
  call paging_on
  mov eax, cr0
  and eax, ~0xe
  or eax, 0x22
  mov cr0, eax
  fninit
  hook 14, on_page_fault
  mov ecx, (programs_end - user_code + 0xfff) >> 12
  mov eax, (user_code - image + IMAGE_BASE) >> 12
.user:
  or dword [PAGE_TABLES + eax * 4], U
  inc eax
  loop .user
  call make_spaces
  mov dword [rounds], ROUNDS
.round:
  mov ebx, 0
.space:
  push ebx
  mov eax, ebx
  shl eax, 16
  add eax, DIRECTORY
  mov [directory], eax
  mov cr3, eax
  mov eax, [rounds]
  add eax, ebx
  xor edx, edx
  mov ecx, PROGRAMS
  div ecx
  mov eax, [programs + edx * 4]
  mov edx, STACK
  call run_user
  pop ebx
  inc ebx
  cmp ebx, SPACES
  jb .space
  dec dword [rounds]
  jnz .round
  mov eax, PAGE_DIR
  mov cr3, eax
  print "bytes handed out "
  mov eax, [next_frame]
  sub eax, FRAMES
  call print_hex
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  call sum_of_memory              ; all but video memory and firmware's
  say ""
  ret

; Each space: a directory whose third entry is a table of its own.
make_spaces:
  xor ebx, ebx
.space:
  mov edi, ebx
  shl edi, 16
  add edi, DIRECTORY
  mov edx, edi
  mov esi, PAGE_DIR
  mov ecx, 1024
  rep movsd
  xor eax, eax
  mov ecx, 1024
  rep stosd                       ; the table
  lea eax, [edx + 0x1000 + (P | W | U)]
  mov [edx + 8], eax
  inc ebx
  cmp ebx, SPACES
  jb .space
  ret

; A page for whoever touches one.
on_page_fault:
  mov eax, cr2
  mov ecx, eax
  shr ecx, 22
  cmp ecx, DATA >> 22
  jne .bad
  shr eax, 12
  and eax, 0x3ff
  mov edi, [directory]
  lea edi, [edi + 0x1000 + eax * 4]
  mov eax, [next_frame]
  add dword [next_frame], 0x1000
  or eax, P | W | U
  mov [edi], eax
  ret
.bad:
  mov eax, cr2
  call print_hex
  fail " touched"

sum_of_memory:
  xor eax, eax
  xor esi, esi
  mov ecx, 0xa0000 / 4
  call .add
  mov esi, 0x100000
  mov ecx, (0x2000000 - 0x100000) / 4
  call .add
  print " sum "
  call print_hex
  ret
.add:
  rol eax, 1
  add eax, [esi]
  add esi, 4
  dec ecx
  jnz .add
  ret

rounds: dd 0
directory: dd 0
next_frame: dd FRAMES
PROGRAMS equ 5
programs: dd sorts, moves, floats, makes_code, calls

align 4096
user_code:
; 4096 numbers, made, sorted by insertion in stretches, summed.
sorts:
  mov edi, DATA
  mov ecx, 4096
  mov eax, [DATA + 0x10000]
.make:
  imul eax, eax, 1664525
  add eax, 1013904223
  stosd
  loop .make
  mov [DATA + 0x10000], eax
  xor edx, edx
.outer:
  lea esi, [edx + 1]
.middle:
  mov eax, [DATA + esi * 4]
  lea edi, [esi - 1]
.inner:
  cmp [DATA + edi * 4], eax
  jbe .placed
  mov ebx, [DATA + edi * 4]
  mov [DATA + edi * 4 + 4], ebx
  dec edi
  cmp edi, edx
  jge .inner
.placed:
  mov [DATA + edi * 4 + 4], eax
  inc esi
  lea ebx, [edx + 128]
  cmp esi, ebx
  jb .middle
  add edx, 128
  cmp edx, 4096
  jb .outer
  user_exit
; Strings across pages, forwards and backwards, with system calls in between.
moves:
  mov ebp, 20
.again:
  mov esi, DATA + 0x800
  mov edi, DATA + 0x20000
  mov ecx, 0x900
  rep movsd
  mov eax, 3
  int 0x80
  std
  mov esi, DATA + 0x21fff
  mov edi, DATA + 0x30fff
  mov ecx, 0x1801
  rep movsb
  cld
  mov edi, DATA + 0x40000
  mov eax, ebp
  mov ecx, 0x1000
  rep stosb
  mov edi, DATA + 0x40000
  repe scasb
  sub [DATA + 0x50000], ecx
  dec ebp
  jnz .again
  user_exit
; x87 and SSE, kept across system calls.
floats:
  fld1
  fldpi
  movups xmm0, [.numbers]
  movaps xmm1, xmm0
  mov ecx, 5000
.next:
  fmul st0, st1
  fsqrt
  fadd st1, st0
  mulps xmm1, xmm0
  addps xmm1, xmm0
  sqrtps xmm1, xmm1
  test ecx, 0x3ff
  jnz .on
  mov eax, 3
  int 0x80
.on:
  loop .next
  fstp tword [DATA + 0x60000]
  fstp tword [DATA + 0x60010]
  movups [DATA + 0x60020], xmm1
  stmxcsr [DATA + 0x60030]
  fnstsw [DATA + 0x60034]
  user_exit
.numbers: dd 1.5, 2.25, 0.75, 3.0
; Code written, run, and changed where it runs.
makes_code:
  mov ebp, 60
  xor ebx, ebx
.again:
  mov byte [CODE], 0xb8           ; mov eax, EBP's value; add ecx, eax; ret
  mov [CODE + 1], ebp
  mov dword [CODE + 5], 0x00c3c101
  mov edx, CODE
  mov ecx, ebx
  call edx
  mov ebx, ecx
  mov eax, ebp
  and eax, 0xff
  mov [.changed + 1], al
.changed:
  mov al, 0
  movzx eax, al
  add ebx, eax
  ; Where harmless code has run: what tells the processor's own descriptors from the guest's.
  mov dword [CODE], 0xc3c1020f    ; lar eax, ecx; ret
  mov ecx, CODE3
  xor eax, eax
  call edx
  add ebx, eax
  dec ebp
  jnz .again
  mov [DATA + 0x70000], ebx
  user_exit
; Calls and returns, direct and indirect, deep.
calls:
  mov eax, 18
  call .fibonacci
  mov [DATA + 0x80000], eax
  user_exit
.fibonacci:
  cmp eax, 2
  jb .small
  push eax
  dec eax
  mov edx, .fibonacci
  call edx
  xchg eax, [esp]
  sub eax, 2
  call .fibonacci
  pop edx
  add eax, edx
.small:
  ret
programs_end:
align 4096
