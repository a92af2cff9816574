; exit: 0
; boot: floppy
; skip: refuse-every=3: a BIOS moves itself through memory, and takes minutes of faults for it
; serial: in a file
;
; A boot sector and what it loads: addresses that wrap in real mode, limits left over from protected
; mode, A20, protected mode entered and left without reloading segments, a moved interrupt table.
bits 16
org 0x7c00
  jmp 0:s
s: cli
  xor ax, ax
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0x7c00
  mov ah, 2
  mov al, 12
  mov cx, 2
  mov dh, 0
  mov bx, 0x7e00
  sti
  int 0x13
  cli
  jmp 0:stage2
  times 510-($-$$) db 0
  dw 0xaa55
pc: push dx
  push ax
  mov dx, 0x3fd
.w: in al, dx
  test al, 0x20
  jz .w
  pop ax
  mov dx, 0x3f8
  out dx, al
  pop dx
  ret
hexw: push cx
  push ax
  mov cx, 4
.n: rol ax, 4
  push ax
  and al, 15
  cmp al, 10
  sbb al, 0x69
  das
  call pc
  pop ax
  loop .n
  pop ax
  pop cx
  ret
puts: cs lodsb
  test al, al
  jz .d
  call pc
  jmp puts
.d: ret
%macro SAY 1+
  pushf
  push si
  push ax
  call %%a
  db %1, 0
%%a: pop si
  call puts
  pop ax
  pop si
  popf
%endmacro
%macro V 1
  push ax
  mov ax, %1
  push ax
  mov al, ' '
  call pc
  pop ax
  call hexw
  pop ax
%endmacro
; faults: vector handler prints and resumes at [resume]
resume: dw 0
rsp_: dw 0
fcs: dw 0
fip: dw 0
fvec: dw 0
%macro TRY 0
%push t
  mov word [cs:resume], %$d
  mov [cs:rsp_], sp
  mov word [cs:fvec], -1
%endmacro
%macro END_ 1+
%$d:
  push cs
  pop ss
  mov sp, [cs:rsp_]
  SAY %1
  V [cs:fvec]
  V [cs:fcs]
  V [cs:fip]
  SAY 10
%pop
%endmacro
h13: push bp
  mov bp, 13
  jmp hc
h12: push bp
  mov bp, 12
  jmp hc
h6: push bp
  mov bp, 6
hc: mov [cs:fvec], bp
  mov bp, sp
  push word [ss:bp+2]
  pop word [cs:fip]
  push word [ss:bp+4]
  pop word [cs:fcs]
  pop bp
  mov sp, [cs:rsp_]
  push word 0
  popf
  push cs
  push word [cs:resume]
  retf
stage2:
  mov dx, 0x3fb
  mov al, 3
  out dx, al
  mov al, 0xff
  out 0x21, al
  out 0xa1, al
  mov word [13*4], h13
  mov word [13*4+2], 0
  mov word [12*4], h12
  mov word [12*4+2], 0
  mov word [6*4], h6
  mov word [6*4+2], 0
  ; 1: code reaches IP 0xffff exactly, then 0x10000: jump back with EB at fffe: eb 10 -> 0x10010 or 0x0010
  mov ax, 0x2000
  mov es, ax
  mov byte [es:0xfff0], 0x90
  mov word [es:0xfffe], 0x10eb
  mov byte [es:0x10], 0xcb             ; retf at 0x10
  TRY
  push cs
  push word .r1
  jmp 0x2000:0xfffe
.r1:
  END_ "jmp short at fffe"
  ; 2: nop at ffff: next IP is 0x10000
  mov byte [es:0xffff], 0x90
  mov byte [es:0], 0xcb
  TRY
  push cs
  push word .r2
  jmp 0x2000:0xffff
.r2:
  END_ "nop at ffff"
  ; 3: instruction straddles ffff
  mov byte [es:0xffff], 0xb0
  mov byte [es:0], 0x42
  mov byte [es:1], 0xcb
  TRY
  push cs
  push word .r3
  jmp 0x2000:0xffff
.r3:
  END_ "mov al straddles"
  ; 4: data
  TRY
  mov ax, [es:0xffff]
  END_ "word at ffff"
  TRY
  mov al, [es:0xffff]
  END_ "byte at ffff"
  TRY
  mov eax, [es:0xfffd]
  END_ "dword at fffd"
  TRY
  les bx, [es:0xfffe]
  END_ "les at fffe"
  xor ax, ax
  mov ds, ax
  mov ax, 0x2000
  mov es, ax
  ; 5: rep movsb over the end of ES
  mov di, 0xfffc
  mov si, 0x7c00
  mov cx, 8
  cld
  TRY
  rep movsb
  END_ "rep movsb di wraps"
  V cx
  V di
  V si
  SAY 10
  mov di, 0xfffd
  mov si, 0x7c00
  mov cx, 4
  TRY
  rep movsw
  END_ "rep movsw di odd"
  V cx
  V di
  V si
  SAY 10
  ; 6: stack
  TRY
  mov sp, 2
  push ax
  mov bx, sp
  push ax
  mov cx, sp
  mov sp, [cs:rsp_]
  V bx
  V cx
  END_ "push sp=2,0"
  ; PUSHA with SP 7: should be #GP/#SS or shutdown on real ones; SP=15 ok
  ; 7: 32-bit address in real mode
  TRY
  mov ebx, 0x10000
  mov al, [ebx]
  END_ "ebx 10000"
  TRY
  mov ebx, 0xffff
  mov al, [ebx]
  END_ "ebx ffff"
  ; 8: unreal mode: DS big, SS small
  lgdt [gdtp]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 8
  mov ds, bx
  and al, 0xfe
  mov cr0, eax
  xor bx, bx
  TRY
  mov ebx, 0x150000
  mov dword [ebx], 0x12345678
  mov eax, [ebx]
  V ax
  END_ "unreal ds"
  TRY
  mov ebp, 0x13ff8
  mov eax, [ebp]
  END_ "unreal ss small"
  xor ax, ax
  mov ds, ax                          ; base 0, limit stays 4 GiB
  TRY
  mov ebx, 0x150000
  mov eax, [ebx]
  V ax
  END_ "unreal ds reloaded"
  TRY
  mov ebx, 0x150000
  mov esi, 0x150000
  mov edi, 0x151000
  mov ecx, 4
  a32 rep movsd
  END_ "unreal a32 movs to es"
  ; 9: A20
  in al, 0x92
  and al, 0xfd
  out 0x92, al
  mov ebx, 0x100500
  mov dword [0x500], 0x11111111
  mov dword [ebx], 0x22222222
  mov eax, [0x500]
  SAY "A20 off:"
  V ax
  in al, 0x92
  or al, 2
  out 0x92, al
  mov eax, [ebx]
  V ax
  mov dword [ebx], 0x33333333
  mov eax, [0x500]
  V ax
  mov ax, 0xffff
  mov es, ax
  mov ax, [es:0x510]
  V ax
  SAY 10
  ; 10: protected mode with CS not reloaded, interrupts through the real IVT are not used; then back
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov ax, cs
  mov bx, ax
  smsw cx
  and al, 0
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  SAY "pm w/o reload: "
  V bx
  V cx
  SAY 10
  ; 11: 16-bit PM segment limits kept in real mode: DS limit 0xff then real mode, access 0x100
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 16
  mov ds, bx
  and al, 0xfe
  mov cr0, eax
  TRY
  mov al, [0x100]
  END_ "small ds kept"
  xor ax, ax
  mov ds, ax
  TRY
  mov al, [0x100]
  END_ "small ds reloaded in real mode"
  ; 12: IVT moved by LIDT, limit short
  mov eax, cr0
  or al, 1
  mov cr0, eax
  mov bx, 24
  mov ds, bx
  and al, 0xfe
  mov cr0, eax
  xor ax, ax
  mov ds, ax
  sidt [idts]
  mov si, 0
  mov di, 0x6000
  mov es, si
  mov cx, 256
  rep movsw
  mov word [0x6000 + 0x60*4], hx
  mov word [0x6000 + 0x60*4 + 2], 0
  lidt [idtn]
  TRY
  int 0x60
  SAY "int 60 back "
  END_ "moved ivt"
  TRY
  int 0x81
  END_ "beyond ivt limit"
  lidt [idts]
  ; 13: flags
  push word -1
  popf
  pushf
  pop ax
  SAY "flags"
  V ax
  push word 2
  popf
  pushfd
  pop eax
  V ax
  SAY 10
  TRY
  mov ax, 5
  db 0x0f, 0x00, 0xd8
  END_ "ltr real"
  TRY
  db 0x0f, 0x02, 0xc0                  ; lar
  END_ "lar real"
  TRY
  arpl ax, bx
  END_ "arpl real"
  TRY
  mov cx, 0
  bound cx, [limits_]
  END_ "bound ok"
  TRY
  db 0xf0, 0x90
  END_ "lock nop"
  SAY "END", 10
  mov dx, 0xf4
  mov al, 0
  out dx, al
  cli
  hlt
hx: SAY "hx "
  iret
limits_: dw -1, 1
idts: dw 0
  dd 0
idtn: dw 0x200-1
  dd 0x6000
align 8
gdt: dq 0
  dq 0x00cf93000000ffff
  dq 0x00009300000000ff
  dq 0x000093000000ffff
gdtp: dw 31
  dd gdt
  times 7680-($-$$) db 0
