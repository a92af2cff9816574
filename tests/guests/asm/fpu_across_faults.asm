; x87 and SSE registers live through page faults whose handler uses the FPU itself (it saves and
; restores), through interrupts of every kind, and through a fault in an FPU instruction's operand.
; exit: 0
; serial:
;   x87 00000007 sse 00000009
;   faults 00000002
;   operand 0000000f
;   control word 00000f7f mxcsr 00001f80
;   stack top 00003800
;   fxsave same
;   ring 3 0000002a
%include "guest.inc"

DATA equ VIRTUAL

main:
  call paging_on
  mov eax, cr0
  and eax, ~0xe                   ; no EM, no TS
  or eax, 0x22                    ; MP, NE
  mov cr0, eax
  mov eax, cr4
  or eax, 0x600                   ; OSFXSR, OSXMMEXCPT
  mov cr4, eax
  hook 14, demand
  fninit
  fild dword [three]
  fild dword [four]
  movd xmm3, [nine]
  mov eax, [DATA]                 ; handler ruins and restores all of it
  faddp
  mov ebx, [DATA + 0x1000]
  fistp dword [result]
  print "x87 "
  mov eax, [result]
  call print_hex
  print " sse "
  movd eax, xmm3
  call print_hex
  say ""
  print "faults "
  mov eax, [faults]
  call print_hex
  say ""
  mov dword [SPARE + 0x2000], 15
  fild dword [DATA + 0x2000]
  fistp dword [DATA + 0x3000]
  print "operand "
  mov eax, [SPARE + 0x3000]
  call print_hex
  say ""
  fldcw [control]
  fld1
  mov al, [DATA + 0x4000]
  print "control word "
  xor eax, eax
  fnstcw [result]
  mov ax, [result]
  call print_hex
  print " mxcsr "
  stmxcsr [result]
  mov eax, [result]
  call print_hex
  say ""
  print "stack top "
  fnstsw ax
  movzx eax, ax
  and eax, 0x3800
  call print_hex
  say ""
  mov dword [DATA + 0x5000], 0
  movd xmm7, [nine]
  fxsave [area_one]
  mov al, [DATA + 0x6000]
  fxsave [area_two]
  mov esi, area_one
  mov edi, area_two
  mov ecx, 288 / 4
  repe cmpsd
  jne .differs
  say "fxsave same"
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  print "ring 3 "
  mov eax, [USER_STACK - 0x800]
  call print_hex
  say ""
  ret
.differs:
  fail "fxsave differs"

demand:
  inc dword [faults]
  fxsave [handler_area]
  fninit
  fldpi
  fldz
  xorps xmm3, xmm3
  xorps xmm7, xmm7
  fxrstor [handler_area]
  mov ecx, cr2
  and ecx, ~0xfff
  lea eax, [ecx - DATA + SPARE + P + W]
  shr ecx, 12
  mov [PAGE_TABLES + ecx * 4], eax
  ret

align 16
area_one: times 512 db 0
area_two: times 512 db 0
handler_area: times 512 db 0
three: dd 3
four: dd 4
nine: dd 9
control: dw 0xf7f
result: dd 0
faults: dd 0

align 4096
user_code:
  fninit
  mov dword [USER_STACK - 0x800], 40
  fild dword [USER_STACK - 0x800]
  fld1
  fadd st1, st0
  mov eax, 3
  int 0x80
  faddp
  fistp dword [USER_STACK - 0x800]
  user_exit
align 4096
