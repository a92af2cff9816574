; exit: 0
; serial: in a file
;
; What MOV SS and POP SS hold off (SDM 3A 6.8.3): a data breakpoint that they hit is delivered behind
; the instruction that follows, or, where that is an INT or faults, before the first instruction of
; its handler; a single step is lost, a code breakpoint on the instruction that follows is not seen.
; LSS and STI hold no debug trap off. For each trap: its EIP from the start of the case (or !VECTOR
; at the first instruction of that vector's handler), and DR6.
%include "report.inc"
WATCH equ 0x000f0002                     ; DR0: reads and writes, 4 bytes
%macro CASE 1                            ; name; EBX is the watched dword
%push case
  SAY %1, ":"
  mov dword [base], %$code
  mov eax, WATCH
  mov dr7, eax
  mov ebx, watched
  mov edx, D0
  mov ecx, 0xfff8                        ; no selector
%$code:
%endmacro
%macro ENDCASE 0
  nop
  nop
  xor eax, eax
  mov dr7, eax
  NL
%pop
%endmacro
%macro STEP 0                            ; TF is set after it; 7 bytes
  pushfd
  or byte [esp + 1], 1
  popfd
%endmacro
main:
  HOOK 1, trap
  HOOK 3, seen
  HOOK 6, faulted
  HOOK 13, faulted
  HOOK 0x40, seen
  mov eax, watched
  mov dr0, eax
  CASE "mov eax, [w]"
  mov eax, [ebx]
  ENDCASE
  CASE "mov ds, [w]"
  mov ds, [ebx]
  ENDCASE
  CASE "mov ss, [w]"
  mov ss, [ebx]
  ENDCASE
  CASE "mov ss, dx; mov eax, [w]"
  mov ss, dx
  mov eax, [ebx]
  ENDCASE
  CASE "mov ss, [w]; mov eax, [w]"
  mov ss, [ebx]
  mov eax, [ebx]
  ENDCASE
  CASE "mov ss, [w]; mov ss, [w]"
  mov ss, [ebx]
  mov ss, [ebx]
  ENDCASE
  CASE "mov ss, [w]; jmp +1"
  mov ss, [ebx]
  db 0xeb, 1
  ENDCASE
  CASE "mov ss, [w]; int3"
  mov ss, [ebx]
  int3
  ENDCASE
  CASE "mov ss, [w]; int 40"
  mov ss, [ebx]
  int 0x40
  ENDCASE
  CASE "mov ss, [w]; int1"
  mov ss, [ebx]
  int1
  ENDCASE
  CASE "mov ss, [w]; ud2"
  mov ss, [ebx]
  ud2
  ENDCASE
  CASE "mov ss, [w]; mov es, cx"
  mov ss, [ebx]
  mov es, cx
  ENDCASE
  mov [kept], esp
  CASE "pop ss"
  mov esp, ebx
  pop ss
  mov esp, [kept]
  ENDCASE
  mov [pointer], esp
  mov eax, pointer + 4                   ; the selector of the pointer
  mov dr0, eax
  CASE "lss esp, [w]"
  lss esp, [pointer]
  ENDCASE
  mov eax, watched
  mov dr0, eax
  CASE "cli; sti; mov eax, [w]; cli"
  cli
  sti
  mov eax, [ebx]
  cli
  ENDCASE
  CASE "step sti"
  STEP
  sti
  cli
  nop
  ENDCASE
  CASE "step mov ss, dx"
  STEP
  mov ss, dx
  nop
  nop
  ENDCASE
  CASE "step mov ss, [w]"
  STEP
  mov ss, [ebx]
  nop
  nop
  ENDCASE
  CASE "step mov ss, dx; int 40"
  STEP
  mov ss, dx
  int 0x40
  ENDCASE
  ; a code breakpoint on the NOP behind MOV SS, and on one behind MOV DS
  SAY "code breakpoint behind ss and ds:"
  mov dword [base], .code
  mov eax, .behind_ss
  mov dr1, eax
  mov eax, .behind_ds
  mov dr2, eax
  mov eax, 0x28
  mov dr7, eax
  mov edx, D0
.code:
  mov ss, dx
.behind_ss:
  nop
  mov ds, dx
.behind_ds:
  nop
  xor eax, eax
  mov dr7, eax
  NL
  ret

trap:                                    ; vector, error, EIP, CS, EFLAGS
  pushad
  mov eax, dr7                           ; nothing in here is watched
  push eax
  xor eax, eax
  mov dr7, eax
  mov ebx, [esp + 36 + 8]
  mov eax, ebx
  sub eax, [base]
  cmp eax, 256
  jb .here
  sub ebx, stubs
  shr ebx, 4
  mov eax, ebx
  SAY " !"
  call byte_hex
  jmp .dr6
.here:
  SAY " +"
  call byte_hex
.dr6:
  SAY "/"
  mov eax, dr6
  shr eax, 12
  and eax, 14
  call nibble
  mov eax, dr6
  and eax, 15
  call nibble
  mov eax, 0xffff0ff0
  mov dr6, eax
  mov eax, [esp + 36 + 8]
  sub eax, [base]
  cmp eax, 11                            ; stepping ends
  jb .on
  cmp eax, 256
  jae .on
  and dword [esp + 36 + 16], ~0x100
.on:
  ; a code breakpoint is a fault: once
  test dword [esp], 0x28
  jz .go
  or dword [esp + 36 + 16], 0x10000
.go:
  pop eax
  mov dr7, eax
  popad
  add esp, 8
  iretd
faulted:
  add dword [esp + 8], 2                 ; each is two bytes long
seen:
  pushad
  mov eax, dr7
  push eax
  xor eax, eax
  mov dr7, eax
  SAY " handler"
  pop eax
  mov dr7, eax
  popad
  add esp, 8
  iretd
byte_hex:
  push eax
  shr eax, 4
  call nibble
  pop eax
nibble:
  push eax
  and al, 15
  cmp al, 10
  sbb al, 0x69
  das
  call putc
  pop eax
  ret
align 4
watched: dd D0
pointer: dd 0
  dw D0
  dw 0
kept: dd 0
image_end:
