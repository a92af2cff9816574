; Everything that stops computing code in ring 3, in the middle of it: the exception, its error code,
; where, and the registers of the code are those of the architecture in every engine.
; exit: 0
; counters direct: direct.slices>1000 direct.escapes=0
; counters direct-faulting: direct.slices>1000 direct.escapes=0
; serial:
;   int3 03 error 00000000 at 00000001
;   int 3 03 error 00000000 at 00000002
;   into 04 error 00000000 at 00000001
;   icebp 01 error 00000000 at 00000001
;   bound 05 error 00000000 at 00000000
;   div 00 error 00000000 at 00000000
;   idiv 00 error 00000000 at 00000000
;   aam 00 error 00000000 at 00000000
;   ud2 06 error 00000000 at 00000000
;   hlt 0d error 00000000 at 00000000
;   cli 0d error 00000000 at 00000000
;   in 0d error 00000000 at 00000000
;   insb 0d error 00000000 at 00000000
;   mov cr 0d error 00000000 at 00000000
;   lgdt 0d error 00000000 at 00000000
;   invlpg 0d error 00000000 at 00000000
;   rdmsr 0d error 00000000 at 00000000
;   closed gate 0d error 0000010a at 00000000
;   x87 10 error 00000000 at 00000000
;   sse 13 error 00000000 at 00000000
;   movaps 0d error 00000000 at 00000000
;   read of ring 0 0e error 00000005 at 00000000
;   write to ring 0 0e error 00000007 at 00000000
;   nothing there 0e error 00000004 at 00000000
;   write to nothing 0e error 00000006 at 00000000
;   read only 0e error 00000007 at 00000000
;   in ring 0's code 0e error 00000005 at 00000000
;   top of memory 0e error 00000004 at 00000000
;   across pages 0e error 00000004 at 00000000
;   tf, nop 01 error 00000000 at 00000001
;   tf, jump 01 error 00000000 at 00000004
;   tf, int3 03 error 00000000 at 00000001
;   tf, movs 01 error 00000000 at 00000000
;   steps 0000000b
;   endless faults 00001388
;   endless steps 00001388
;   low page 00000123
%include "guest.inc"

READ_ONLY equ VIRTUAL
LOW_CODE  equ 0x8000
RESULT    equ USER_STACK - 0x800

; The code of the label up to `.at`, then the trap; where is counted from `.at`.
%macro traps 2                    ; text, label
  print %1, " "
  mov eax, %2
  mov ebx, %2.at
  call run_until_trap
%endmacro

main:
  call paging_on
  mov eax, cr0
  and eax, ~0xe
  or eax, 0x22                    ; NE, MP
  mov cr0, eax
  user_page addr(user_code)
  user_page addr(control_code)
  user_page addr(sensitive_code)
  user_page USER_STACK - 0x1000
  user_page LOW_CODE
  map READ_ONLY, SPARE | P | U
  call flush_tlb
  traps "int3", does_int3
  traps "int 3", does_int_3
  mov byte [IDT_AREA + 4 * 8 + 5], 0xee
  traps "into", does_into
  traps "icebp", does_icebp
  traps "bound", does_bound
  traps "div", does_div
  traps "idiv", does_idiv
  traps "aam", does_aam
  traps "ud2", does_ud2
  traps "hlt", does_hlt
  traps "cli", does_cli
  traps "in", does_in
  traps "insb", does_insb
  traps "mov cr", does_mov_cr
  traps "lgdt", does_lgdt
  traps "invlpg", does_invlpg
  traps "rdmsr", does_rdmsr
  traps "closed gate", does_int
  traps "x87", does_x87
  fninit
  traps "sse", does_sse
  traps "movaps", does_movaps
  traps "read of ring 0", reads_kernel
  traps "write to ring 0", writes_kernel
  traps "nothing there", reads_nothing
  traps "write to nothing", writes_nothing
  traps "read only", writes_read_only
  traps "in ring 0's code", runs_kernel
  traps "top of memory", reads_top
  traps "across pages", reads_across
  traps "tf, nop", steps_nop
  traps "tf, jump", steps_jump
  traps "tf, int3", steps_int3
  traps "tf, movs", steps_movs
  call count_steps
  call count_faults
  call endless_steps
  call low_page
  ret

run_until_trap:
  mov [trap_base], ebx
  try .caught
  mov edx, USER_STACK
  mov ecx, 0
  call run_user
  fail "no trap"
.caught:
  mov eax, [fault_vector]
  call print_byte
  print " error "
  mov eax, [fault_error]
  call print_hex
  print " at "
  mov eax, [fault_eip]
  cmp eax, addr(user_code)
  jb .elsewhere
  sub eax, [trap_base]
  call print_hex
  say ""
  ret
.elsewhere:                       ; at the place that was jumped to
  sub eax, main
  call print_hex
  say ""
  ret
trap_base: dd 0

count_steps:
  hook 1, on_step
  mov dword [steps], 0
  mov eax, takes_steps
  mov edx, USER_STACK
  call run_user
  print "steps "
  mov eax, [steps]
  call print_hex
  say ""
  ret

; It faults for ever; ring 0 has had enough after 5000 times.
count_faults:
  hook 14, on_fault
  mov dword [steps], 0
  print "endless faults "
  mov eax, reads_nothing
  mov edx, USER_STACK
  call run_user
  mov dword [hooks + 14 * 4], 0
  mov eax, [steps]
  call print_hex
  say ""
  ret

endless_steps:
  hook 1, on_endless_step
  mov dword [steps], 0
  print "endless steps "
  mov eax, steps_for_ever
  mov edx, USER_STACK
  call run_user
  mov eax, [steps]
  call print_hex
  say ""
  ret

low_page:                         ; no ordinary process has anything there
  mov esi, low_code
  mov edi, LOW_CODE
  mov ecx, low_code.end - low_code
  rep movsb
  mov eax, LOW_CODE
  mov edx, USER_STACK
  call run_user
  print "low page "
  mov eax, [RESULT]
  call print_hex
  say ""
  ret

on_step:
  inc dword [steps]
  xor eax, eax
  mov dr6, eax
  ret
on_endless_step:
  xor eax, eax
  mov dr6, eax
on_fault:
  inc dword [steps]
  cmp dword [steps], 5000
  jb .again
  mov esp, [user_esp]
  jmp [user_resume]
.again:
  ret
steps: dd 0

low_code:
  mov ecx, 0x123
  xor eax, eax
.next:
  inc eax
  loop .next
  mov [RESULT], eax
  user_exit
.end:

align 4096
user_code:
does_int3:
.at:
  int3
does_int_3:
.at:
  db 0xcd, 3
does_bound:
  mov eax, 5
.at:
  bound eax, [bounds]
does_div:
  xor ecx, ecx
.at:
  div ecx
does_idiv:
  mov eax, 0x80000000
  cdq
  mov ecx, -1
.at:
  idiv ecx
does_aam:
.at:
  aam 0
does_ud2:
.at:
  ud2
does_hlt:
.at:
  hlt
does_cli:
.at:
  cli
does_in:
.at:
  in al, 0x60
does_insb:
  mov edi, RESULT
  mov edx, 0x60
.at:
  insb
does_mov_cr:
.at:
  mov eax, cr3
does_lgdt:
.at:
  lgdt [bounds]
does_invlpg:
.at:
  invlpg [bounds]
does_rdmsr:
  mov ecx, 0x10
.at:
  rdmsr
does_int:
.at:
  int 0x21
does_x87:
  fninit
  mov word [RESULT], 0x037b       ; division by zero unmasked
  fldcw [RESULT]
  fld1
  fldz
  fdivp
.at:
  fwait
does_movaps:
.at:
  movaps xmm0, [RESULT + 1]
reads_kernel:
.at:
  mov eax, [main]
writes_kernel:
.at:
  mov [main], eax
reads_nothing:
.at:
  mov eax, [VIRTUAL + 0x5000]
writes_nothing:
.at:
  inc dword [VIRTUAL + 0x5000]
writes_read_only:
  mov eax, [READ_ONLY]
.at:
  mov [READ_ONLY], eax
runs_kernel:
.at:
  mov eax, main
  jmp eax
reads_top:
.at:
  mov eax, [0xfffffff0]
reads_across:
  mov dword [RESULT], 0
.at:
  mov eax, [VIRTUAL + 0xfff]
steps_nop:
  pushfd
  or dword [esp], 0x100
  popfd
.at:
  nop
  nop
steps_jump:
  pushfd
  or dword [esp], 0x100
  popfd
.at:
  jmp .there
  ud2
.there:
  nop
steps_int3:
  pushfd
  or dword [esp], 0x100
  popfd
.at:
  int3
steps_movs:
  mov esi, RESULT
  mov edi, RESULT + 64
  mov ecx, 5
  pushfd
  or dword [esp], 0x100
  popfd
.at:
  rep movsb
  nop
takes_steps:
  pushfd
  or dword [esp], 0x100
  popfd
  mov ecx, 4
.next:
  loop .next
  fld1
  fstp st0
  addps xmm0, xmm0
  pushfd
  and dword [esp], ~0x100
  popfd
  user_exit
steps_for_ever:
  pushfd
  or dword [esp], 0x100
  popfd
.at:
  jmp .at
bounds: dd 0, 1
align 4096
control_code:                     ; not for processors with other bits in MXCSR
does_sse:
  mov dword [RESULT], 0x1d80
  ldmxcsr [RESULT]
  mov eax, 1
  cvtsi2ss xmm0, eax
  xorps xmm1, xmm1
.at:
  divss xmm0, xmm1
align 4096
sensitive_code:                   ; a page that is not for the processor
does_into:
  mov al, 0x7f
  inc al
.at:
  into
does_icebp:
.at:
  db 0xf1
align 4096
