; exit: 0
; serial: in a file
;
; Faults of instruction fetch: behind a finished REP, in the middle of a conditional jump that lies
; across a page boundary; registers and flags are intact.
%include "report.inc"
PG1 equ 0x240000
PG2 equ 0x241000
main:
  call paging_on
  mov dword [rounds], 3
again:
  SAY "round", 10
  ; rep movsd that ends the page
  mov edi, PG2 - 2
  mov word [edi], 0xa5f3                 ; rep movsd
  MAP PG2, 0
  mov esi, 0x200000
  mov edi, 0x202000
  mov ecx, 5
  TRY
  mov eax, PG2 - 2
  jmp eax
  ENDTRY "rep movsd then absent page"
  VAL [feip], "eip"
  VAL [fcr2], "cr2"
  VAL ecx, "ecx"
  VAL esi, "esi"
  VAL edi, "edi"
  NL
  ; rep stosb, repe cmpsb the same
  mov word [PG2 - 2], 0xaaf3
  mov ecx, 3
  TRY
  mov eax, PG2 - 2
  jmp eax
  ENDTRY "rep stosb then absent page"
  VAL [feip], "eip"
  VAL ecx, "ecx"
  VAL edi, "edi"
  NL
  mov word [PG2 - 2], 0xa6f3
  mov esi, 0x200000
  mov edi, 0x202000
  mov dword [esi], 0x11111111
  mov dword [edi], 0x11221111
  mov ecx, 8
  TRY
  mov eax, PG2 - 2
  jmp eax
  ENDTRY "repe cmpsb then absent page"
  VAL [feip], "eip"
  VAL ecx, "ecx"
  VAL edi, "edi"
  mov eax, [fefl]
  and eax, 0x8d5
  VAL eax, "flags"
  NL
  ; jcc rel32 with 3 bytes here and 3 on the absent page; taken and not taken
  mov dword [PG2 - 4], 0x00840f90        ; nop; 0f 84 00
  xor eax, eax
  cmp eax, 0
  TRY
  mov ebx, PG2 - 4
  jmp ebx
  ENDTRY "jz straddles, taken"
  VAL [feip], "eip"
  VAL [fcr2], "cr2"
  mov eax, [fefl]
  and eax, 0x8d5
  VAL eax, "flags"
  NL
  stc
  mov eax, 1
  sbb eax, 5
  TRY
  mov ebx, PG2 - 4
  jmp ebx
  ENDTRY "jz straddles, not taken"
  VAL [feip], "eip"
  VAL [fcr2], "cr2"
  mov eax, [fefl]
  and eax, 0x8d5
  VAL eax, "flags"
  NL
  ; map it, go through, unmap again
  MAP PG2, PG2 | 7
  mov dword [PG2 - 4], 0x00840f90
  mov dword [PG2], 0xc3000000            ; rel32 = 0, ret
  xor eax, eax
  mov ebx, PG2 - 4
  call ebx
  ; call whose target's page is absent: pushed return address, EIP at the target
  MAP PG2, 0
  TRY
  mov ebx, esp
  mov eax, PG2 + 0x10
  call eax
clbl: nop
  ENDTRY "call to absent page"
  VAL [feip], "eip"
  mov eax, [resp]
  sub eax, 4
  mov eax, [eax]
  sub eax, clbl
  VAL eax, "pushed-rel"
  NL
  ; ret to absent page: ESP already popped
  TRY
  push dword 0x1111
  push dword PG2 + 0x20
  ret 4
  ENDTRY "ret 4 to absent page"
  VAL [feip], "eip"
  NL
  ; a two-byte instruction with its first byte on the last byte
  mov byte [PG2 - 1], 0x89
  TRY
  mov eax, PG2 - 1
  jmp eax
  ENDTRY "one byte here"
  VAL [feip], "eip"
  VAL [fcr2], "cr2"
  NL
  ; prefixes end the page
  mov dword [PG2 - 4], 0x66666666
  TRY
  mov eax, PG2 - 4
  jmp eax
  ENDTRY "prefixes here"
  VAL [feip], "eip"
  VAL [fcr2], "cr2"
  NL
  ; int3 ends the page: trap's EIP is on the absent page, no #PF
  mov byte [PG2 - 1], 0xcc
  TRY
  mov eax, PG2 - 1
  jmp eax
  ENDTRY "int3 ends the page"
  VAL [feip], "eip"
  NL
  ; an undefined opcode at the end of the page: #UD, not #PF
  mov word [PG2 - 2], 0x0b0f
  TRY
  mov eax, PG2 - 2
  jmp eax
  ENDTRY "ud2 ends the page"
  VAL [feip], "eip"
  NL
  ; load that faults placed before an absent page; both absent
  MAP PG1+0x8000, 0
  mov eax, 0x248000
  mov word [PG2 - 2], 0x008b             ; mov eax,[eax]
  TRY
  mov ebx, PG2 - 2
  jmp ebx
  ENDTRY "data fault before absent page"
  VAL [feip], "eip"
  VAL [fcr2], "cr2"
  NL
  MAP PG2, PG2 | 7
  dec dword [rounds]
  jnz again
  ret
rounds: dd 0
image_end:
