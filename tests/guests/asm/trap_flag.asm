; exit: 0
; serial: in a file
;
; TF set and cleared by POPF and IRET, REP under TF, DR6, and RF in the image that faults push.
%include "report.inc"
main:
  HOOK 1, db
  mov eax, 0xffff0ff0
  mov dr6, eax
  ; 1: old TF=0, new TF=1
  mov dword [n], 0
a0: pushfd
  or dword [esp], 0x100
  popfd
a1: nop
a2: nop
a3: pushfd
  and dword [esp], ~0x100
a4: popfd
a5: nop
  mov dword [lbl], a0
  SAY "popf:"
  call dump
  ; 2: through MOV SS and POP SS
  mov dword [n], 0
  mov ax, ss
b0: pushfd
  or dword [esp], 0x100
  popfd
b1: mov ss, ax
b2: nop
b3: nop
  pushfd
  and dword [esp], ~0x100
  popfd
  mov dword [lbl], b0
  SAY "movss:"
  call dump
  ; 3: REP MOVSB under TF
  mov dword [n], 0
  mov esi, 0x200000
  mov edi, 0x201000
  mov ecx, 3
c0: pushfd
  or dword [esp], 0x100
  popfd
c1: rep movsb
c2: nop
  pushfd
  and dword [esp], ~0x100
  popfd
  mov dword [lbl], c0
  SAY "rep:"
  call dump
  ; 4: INT n under TF: handler runs without TF, trap after return's next
  HOOK 0x40, h40
  mov dword [n], 0
d0: pushfd
  or dword [esp], 0x100
  popfd
d1: int 0x40
d2: nop
d3: pushfd
  and dword [esp], ~0x100
  popfd
  mov dword [lbl], d0
  SAY "int:"
  call dump
  ; 5: IRET that sets TF
  mov dword [n], 0
  pushfd
  or dword [esp], 0x100
  push dword C0
  push dword e1
e0: iretd
e1: nop
e2: pushfd
  and dword [esp], ~0x100
  popfd
  mov dword [lbl], e0
  SAY "iret:"
  call dump
  ; 6: branches, call, ret, loop, jcc under TF
  mov dword [n], 0
  mov ecx, 2
f0: pushfd
  or dword [esp], 0x100
  popfd
f1: call f4
f2: loop f2
f3: jmp f5
f4: ret
f5: cmp eax, eax
  je f6
  nop
f6: pushfd
  and dword [esp], ~0x100
  popfd
  mov dword [lbl], f0
  SAY "flow:"
  call dump
  mov eax, dr6
  VAL eax, "dr6"
  NL
  ; 7: hardware breakpoint on data write + TF together, and on execution
  mov eax, 0xffff0ff0
  mov dr6, eax
  mov eax, word0
  mov dr0, eax
  mov eax, 0x000d0001
  mov dr7, eax
  mov dword [n], 0
g0: pushfd
  or dword [esp], 0x100
  popfd
g1: mov dword [word0], 5
g2: pushfd
  and dword [esp], ~0x100
  popfd
  mov dword [lbl], g0
  mov eax, dr6
  SAY "wp+tf:"
  VAL eax, "dr6"
  NL
  call dump
  xor eax, eax
  mov dr7, eax
  mov eax, 0xffff0ff0
  mov dr6, eax
  mov eax, i1
  mov dr1, eax
  mov eax, 0x00000004
  mov dr7, eax
  mov dword [n], 0
  mov dword [rf], 1
i0: nop
i1: inc dword [cnt]
i2: nop
  mov dword [rf], 0
  xor eax, eax
  mov dr7, eax
  mov dword [lbl], i0
  mov eax, dr6
  SAY "exec bp:"
  VAL eax, "dr6"
  VAL [cnt], "cnt"
  NL
  call dump
  ; RETF with a not-present CS under TF
  HOOK 1, 0
  GDTE FREE, 0, 0xfffff, 0xc01b            ; code, not present
  mov eax, 0xffff0ff0
  mov dr6, eax
  TRY
  push dword FREE
  push dword 0
  pushfd
  or dword [esp], 0x100
  popfd
  retf
  ENDTRY "retf #NP under TF"
  mov eax, [fefl]
  VAL eax, "image"
  mov eax, dr6
  VAL eax, "dr6"
  NL
  ; RF in images
  TRY
  ud2
  ENDTRY "ud2"
  call rfshow
  TRY
  mov ax, 0x1f8
  mov gs, ax
  ENDTRY "gp"
  call rfshow
  TRY
  xor ecx, ecx
  div ecx
  ENDTRY "div"
  call rfshow
  TRY
  int3
  ENDTRY "int3"
  call rfshow
  TRY
  int 0x50
  ENDTRY "int 50"
  call rfshow
  call paging_on
  MAP 0x250000, 0
  TRY
  mov eax, [0x250000]
  ENDTRY "pf"
  call rfshow
  TRY
  mov esi, 0x24fff0
  mov edi, 0x210000
  mov ecx, 8
  rep movsd
  ENDTRY "pf rep"
  call rfshow
  TRY
  mov eax, 0x250000
  jmp eax
  ENDTRY "pf fetch"
  call rfshow
  ; IRET with RF set lets the breakpointed instruction run; POPF clears RF
  push dword 0x10002
  popfd
  pushfd
  pop eax
  and eax, 0x10000
  VAL eax, "rf-after-popf"
  NL
  ret
rfshow:
  mov eax, [fefl]
  and eax, 0x10000
  VAL eax, "RF"
  NL
  ret
h40:
  add esp, 8
  nop
  nop
  iretd
db:
  add esp, 8
  push eax
  push edx
  mov edx, [n]
  mov eax, [esp+8]
  mov [log + edx*8], eax
  mov eax, [esp+16]
  mov [log + edx*8 + 4], eax
  inc dword [n]
  cmp dword [rf], 0
  je .x
  or dword [esp+16], 0x10000
.x: pop edx
  pop eax
  iretd
dump:
  pushad
  xor ecx, ecx
.l: cmp ecx, [n]
  jae .e
  mov eax, [log+ecx*8]
  sub eax, [lbl]
  SAY " "
  call hex
  mov eax, [log+ecx*8+4]
  and eax, 0x10100
  SAY "/"
  call hex
  inc ecx
  jmp .l
.e: NL
  popad
  ret
n: dd 0
rf: dd 0
cnt: dd 0
lbl: dd 0
word0: dd 0
log: times 256 dd 0
image_end:
