; Alignment checks of ring 3 (CR0.AM, EFLAGS.AC): integers, the stack, x87, MMX and SSE operands are
; asked for the alignment of their type, each at two addresses that have it and one that has half.
; exit: 0
; serial: in a file
%include "guest.inc"

DATA equ USER_STACK - 0x800

%macro in_ring_3 3+               ; EBX, ESP, one instruction
  mov ebx, %1
  try %%caught
  mov eax, %%user
  mov edx, %2
  call run_user_with_flags
  no_try
  print " passes"
  jmp %%after
%%user:
  %3
  user_exit
%%caught:
  call print_fault
%%after:
%endmacro

%macro aligned 2+                 ; alignment, instruction with [ebx]
  print %1 + '0', ":"
  in_ring_3 DATA + 16, USER_STACK, %2
  in_ring_3 DATA + 16 + %1, USER_STACK, %2
  in_ring_3 DATA + 16 + %1 / 2, USER_STACK, %2
  say ""
%endmacro

%macro on_stack 2+                ; alignment, instruction that uses the stack
  print %1 + '0', ":"
  in_ring_3 0, DATA + 16, %2
  in_ring_3 0, DATA + 16 + %1, %2
  in_ring_3 0, DATA + 16 + %1 / 2, %2
  say ""
%endmacro

main:
  call paging_on
  mov edi, PAGE_TABLES + (IMAGE_BASE >> 12) * 4
  mov ecx, 16
.user:
  or dword [edi], U
  add edi, 4
  loop .user
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, cr0
  and eax, ~0xe
  or eax, 0x40022                 ; AM, NE, MP
  mov cr0, eax
  fninit
  mov dword [user_flags_set], 0x40200
  aligned 2, mov ax, [ebx]
  aligned 4, mov eax, [ebx]
  aligned 8, cmpxchg8b [ebx]
  aligned 2, o16 les ax, [ebx]
  aligned 4, bts dword [ebx], 5
  say "stack"
  on_stack 4, push eax
  on_stack 2, push ax
  on_stack 4, push ds
  on_stack 4, pop eax
  on_stack 4, retf                ; to 0:0, which is no code
  say "x87"
  aligned 4, fld dword [ebx]
  aligned 8, fld qword [ebx]
  aligned 8, fld tword [ebx]
  aligned 2, fild word [ebx]
  aligned 8, fistp qword [ebx]
  aligned 8, fbstp [ebx]
  aligned 2, fnstcw [ebx]
  aligned 4, fnstenv [ebx]
  aligned 4, fnsave [ebx]
  aligned 2, o16 fnsave [ebx]
  say "mmx"
  aligned 4, movd mm0, [ebx]
  aligned 8, movq mm0, [ebx]
  aligned 8, movq [ebx], mm0
  aligned 8, paddd mm0, [ebx]
  say "sse"
  aligned 4, movss xmm0, [ebx]
  aligned 8, movsd xmm0, [ebx]
  aligned 8, movsd [ebx], xmm0
  aligned 8, movhps xmm0, [ebx]
  aligned 4, stmxcsr [ebx]
  aligned 8, cvtpi2ps xmm0, [ebx]
  ret

; Vector and error code of the fault that was caught.
print_fault:
  print " fault "
  mov al, [fault_vector]
  call print_byte
  print " error "
  mov al, [fault_error]
  call print_byte
  ret
