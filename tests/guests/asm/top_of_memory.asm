; exit: 0
; serial: in a file
;
; Instructions and data across the top of the 4 GiB of linear addresses: everything goes on at 0
; (docs/limitations.md, L27), in every engine.
%include "report.inc"
PT2 equ 0x303000
main:
  call paging_on
  ; linear ffff_f000 -> frame 0x220000 ; linear 0 -> frame 0x221000
  mov edi, PT2
  mov ecx, 1024
  xor eax, eax
  rep stosd
  mov dword [PT2 + 1023*4], 0x220000 | 7
  mov dword [PD + 1023*4], PT2 | 7
  mov dword [PT], 0x221000 | 7
  mov eax, cr3
  mov cr3, eax
  ; 1: code runs off the end: mov eax, imm32 with 2 bytes on the last page, the rest at linear 0
  mov byte [0xfffffff0], 0x90
  mov dword [0xfffffffa], 0x90909090
  mov byte [0xfffffffe], 0xb8          ; mov eax, 0x44332211
  mov byte [0xffffffff], 0x11
  mov byte [0], 0x22
  mov byte [1], 0x33
  mov byte [2], 0x44
  mov byte [3], 0xc3                   ; ret
  xor eax, eax
  TRY
  mov edx, 0xfffffffa
  call edx
  ENDTRY "code over the top"
  VAL eax, "eax"
  NL
  ; 2: falls through exactly
  mov dword [0xfffffffc], 0x90424242     ; inc edx x3, nop
  mov byte [0], 0x42
  mov byte [1], 0xc3
  xor edx, edx
  TRY
  mov eax, 0xfffffffc
  call eax
  ENDTRY "exactly to the top"
  VAL edx, "edx"
  NL
  ; 3: jmp rel32 over the top both ways, jmp rel8
  mov byte [0xfffffff0], 0xeb            ; jmp short +0x10 -> 0x2
  mov byte [0xfffffff1], 0x10
  mov byte [2], 0xeb                     ; jmp short -0x10+... -> fffffff4
  mov byte [3], 0xf0
  mov byte [0xfffffff4], 0xb9            ; mov ecx, 0x77; ret
  mov dword [0xfffffff5], 0x77
  mov byte [0xfffffff9], 0xc3
  xor ecx, ecx
  TRY
  mov eax, 0xfffffff0
  call eax
  ENDTRY "short jumps over the top"
  VAL ecx, "ecx"
  NL
  ; 4: call at the very end: return address 0
  mov byte [0xfffffffb], 0xe8
  mov dword [0xfffffffc], 0x20           ; call 0x20
  mov byte [0x20], 0x5b                  ; pop ebx
  mov byte [0x21], 0xc3
  TRY
  mov eax, 0xfffffffb
  call eax
  ENDTRY "call at the top"
  VAL ebx, "ret-addr"
  NL
  ; 5: data over the top
  mov dword [0xfffffffc], 0x44332211
  mov dword [0], 0x88776655
  xor eax, eax
  TRY
  mov eax, [0xfffffffe]
  ENDTRY "dword read over the top"
  VAL eax, "eax"
  NL
  TRY
  mov dword [0xfffffffd], 0xa1b2c3d4
  ENDTRY "dword write over the top"
  VAL [0xfffffffc], "top"
  VAL [0], "zero"
  NL
  ; 6: rep movsb over the top
  mov esi, 0xfffffff8
  mov edi, 0x230000
  mov ecx, 16
  TRY
  rep movsb
  ENDTRY "rep movsb over the top"
  VAL ecx, "ecx"
  VAL esi, "esi"
  NL
  mov esi, 0xfffffff8
  mov edi, 0x230000
  mov ecx, 4
  TRY
  rep movsd
  ENDTRY "rep movsd over the top"
  VAL ecx, "ecx"
  VAL esi, "esi"
  NL
  ; 7: base + displacement wraps
  mov eax, 0xfffffff0
  mov ecx, 0x10
  mov dword [0x30], 0x1234
  mov edx, [eax + ecx*4]
  VAL edx, "wrap-sum"
  mov eax, 0x80000000
  mov edx, [eax + eax + 0x30]
  VAL edx, "wrap-sum2"
  NL
  ; 8: stack at 0: push wraps to ffff_fffc
  mov [0x230100], esp
  xor esp, esp
  push dword 0x5a5a
  mov ebx, esp
  pop eax
  mov esp, [0x230100]
  VAL ebx, "esp"
  VAL eax, "popped"
  VAL [0xfffffffc], "mem"
  NL
  ; 9: the page at zero is absent: straddling fetch and read say cr2=0
  mov dword [PT], 0
  invlpg [0]
  mov byte [0xfffffffe], 0xb8
  TRY
  mov eax, 0xfffffffe
  jmp eax
  ENDTRY "fetch over the top, page 0 absent"
  VAL [fcr2], "cr2"
  VAL [feip], "eip"
  NL
  mov dword [0xfffffffc], 0x90909090
  TRY
  mov eax, 0xfffffffc
  jmp eax
  ENDTRY "run off the top, page 0 absent"
  VAL [fcr2], "cr2"
  VAL [feip], "eip"
  NL
  ret
image_end:
